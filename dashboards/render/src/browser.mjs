// Opens the page in headless Chromium, waits until it is still, and takes its pictures.
// Never lets it reach the network: every address is answered from node_modules or counts as an error.

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const ORIGIN = 'http://dashboard.invalid';
const MODULES = path.join(path.dirname(fileURLToPath(import.meta.url)), '../node_modules');

/** What a Grafana server has under /public, as far as pages ask for it. */
const PUBLIC = [
  [/^build\/img\/icons\/([\w-]+\/[\w-]+\.svg)$/, '@grafana/ui/dist/public/img/icons/$1'],
  [/^fonts\/inter\/Inter-Regular\.woff2$/, '@fontsource/inter/files/inter-latin-400-normal.woff2'],
  [/^fonts\/inter\/Inter-Medium\.woff2$/, '@fontsource/inter/files/inter-latin-500-normal.woff2'],
  [/^fonts\/inter\/Inter-Italic\.woff2$/, '@fontsource/inter/files/inter-latin-400-italic.woff2'],
  [/^fonts\/inter\/Inter-MediumItalic\.woff2$/, '@fontsource/inter/files/inter-latin-500-italic.woff2'],
  [/^fonts\/roboto\/\w[\w-]*\.woff2$/, '@fontsource/roboto-mono/files/roboto-mono-latin-400-normal.woff2'],
];
const TYPES = { '.svg': 'image/svg+xml', '.js': 'text/javascript', '.css': 'text/css', '.woff2': 'font/woff2' };

/** Nothing moves in a picture. */
const CALM = 'body { margin: 0; } *, *::before, *::after { animation: none !important; transition: none !important; caret-color: transparent !important; }';
const HTML = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><link rel="stylesheet" href="/page.css"><style>${CALM}</style>
<body><div id="styles"></div><div id="page"></div><script>window.__grafana_public_path__='/public/'</script><script src="/page.js"></script>`;

/** Room for the title and the variables, in pixels; more than they take. */
const HEAD = 300;

/** The page has drawn when nothing has changed for this long. */
const STILL_MS = 400;
const PATIENCE_MS = 60_000;

/** Starts Chromium; `close()` ends it. */
export function open(executablePath) {
  return chromium.launch({
    executablePath,
    args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--force-color-profile=srgb', '--font-render-hinting=none', '--no-sandbox'],
  });
}

/**
 * Draws one dashboard. Returns {errors, texts}: what went wrong, and what each panel says.
 * Pictures go to `picture` and, for each panel, to `panelPicture(panel)` where that is given.
 */
export async function draw(browser, { model, built, picture, panelPicture, scale }) {
  const context = await browser.newContext({
    // All of it is in view: a table draws only those of its rows that are.
    viewport: { width: model.width + 32, height: HEAD + Math.max(...model.page.panels.map(({ box }) => box.top + box.height)) },
    deviceScaleFactor: scale,
    timezoneId: 'UTC',
    locale: 'en-US',
    reducedMotion: 'reduce',
  });
  const errors = [];
  const texts = [];
  try {
    const page = await context.newPage();
    page.on('pageerror', (error) => errors.push(error.stack ?? error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') {
        errors.push(message.text());
      }
    });
    await page.addInitScript((given) => { window.model = given; }, model);
    await page.route('**', (route) => answer(route, built, errors));
    await page.goto(ORIGIN, { timeout: PATIENCE_MS });
    await still(page);
    for (const panel of errors.length > 0 ? [] : model.page.panels.filter(({ type }) => type !== 'row')) {
      const { text, complaint } = await inspect(page, panel);
      texts.push({ dashboard: model.page.title, panel: panel.title, text });
      errors.push(...complaint);
    }
    if (errors.length > 0) {
      // For whoever looks for the cause; its name keeps it from being taken for a good one.
      await page.screenshot({ path: picture.replace(/\.png$/, '.failed.png'), fullPage: true });
      return { errors, texts };
    }
    await page.locator('#dashboard').screenshot({ path: picture });
    for (const panel of panelPicture ? model.page.panels.filter(({ type }) => type !== 'row') : []) {
      await page.locator(`#panel-${panel.id}`).screenshot({ path: panelPicture(panel) });
    }
  } finally {
    await context.close();
  }
  return { errors, texts };
}

/** What a panel says; a complaint where it shows neither a plot nor a word, or denies its data. */
async function inspect(page, { id, title, series }) {
  const inside = page.locator(`#panel-${id} [data-content]`);
  const text = (await inside.count()) === 1 ? (await inside.innerText()).trim() : '';
  if (text === '' && (await inside.locator('canvas').count()) === 0) {
    return { text, complaint: [`panel "${title}" is blank`] };
  }
  if (text === 'No data' && series.length > 0) {
    return { text, complaint: [`panel "${title}" says "No data" and has ${series.length} series`] };
  }
  return { text, complaint: [] };
}

async function answer(route, built, errors) {
  const { pathname, href } = new URL(route.request().url());
  try {
    if (pathname === '/') {
      return await route.fulfill({ contentType: 'text/html', body: HTML });
    }
    const file = provider(pathname) ?? path.join(built, path.basename(pathname));
    const contentType = TYPES[path.extname(file)];
    return await route.fulfill({ contentType, body: await readFile(file) });
  } catch (error) {
    errors.push(`the page asked for ${href}: ${error.message}`);
    return route.fulfill({ status: 404, body: '' });
  }
}

/** The file that stands for an address under /public. */
function provider(pathname) {
  const asked = pathname.replace(/^\/public\//, '');
  const [pattern, file] = PUBLIC.find(([known]) => known.test(asked)) ?? [];
  return file && path.join(MODULES, asked.replace(pattern, file));
}

/** Waits until the dashboard is there, and then for silence; or until the page gives up. */
function still(page) {
  return page.waitForFunction(
    (quiet) => {
      window.lastChange ??= (() => {
        new MutationObserver(() => { window.lastChange = performance.now(); })
          .observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
        return performance.now();
      })();
      return window.failed || document.getElementById('dashboard') !== null && document.fonts.status === 'loaded' && performance.now() - window.lastChange > quiet;
    },
    STILL_MS,
    { timeout: PATIENCE_MS, polling: 50 },
  );
}
