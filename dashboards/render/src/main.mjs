// Turns dashboards and what a Prometheus server knows into pictures.
// Never calls it done when a query failed, a panel stayed empty unasked, or the page complained.

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { draw, open } from './browser.mjs';
import { bundle } from './bundle.mjs';
import { gather } from './gather.mjs';
import { milliseconds } from './interpolate.mjs';
import { Prometheus } from './prometheus.mjs';
import { judge, table } from './report.mjs';

const USAGE = `usage: node src/main.mjs --prometheus URL --from UNIX --to UNIX --out DIR DASHBOARD.json...
  --scrape-interval 15s       the data source's scrape interval, as an operator would set it in Grafana
  --var NAME=VALUE            chooses a variable's value; again for more values (default: All)
  --allow-empty TITLE=REASON  a panel, or with 'TITLE / A' one query of it, that may have no data, and why
  --panels                    also a picture of each panel
  --theme dark|light          (default dark)
  --scale 1|2                 device pixels for each pixel (default 1)
  --width PIXELS              (default 1600)
  --json                      results as JSON on stdout instead of a table
  --chromium PATH             (default /usr/bin/chromium)
  --page DIR                  keeps the bundled page there, and takes it from there when it is there
  --dry-run                   runs the queries and draws nothing`;

async function main() {
  const { values: flags, positionals: files } = parseArgs({
    allowPositionals: true,
    options: {
      prometheus: { type: 'string' },
      from: { type: 'string' },
      to: { type: 'string' },
      out: { type: 'string' },
      'scrape-interval': { type: 'string', default: '15s' },
      var: { type: 'string', multiple: true, default: [] },
      'allow-empty': { type: 'string', multiple: true, default: [] },
      panels: { type: 'boolean', default: false },
      theme: { type: 'string', default: 'dark' },
      scale: { type: 'string', default: '1' },
      width: { type: 'string', default: '1600' },
      json: { type: 'boolean', default: false },
      chromium: { type: 'string', default: '/usr/bin/chromium' },
      page: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
    },
  });
  const range = {
    fromMs: Number(flags.from) * 1000,
    toMs: Number(flags.to) * 1000,
    scrapeMs: milliseconds(flags['scrape-interval']),
  };
  const isDrawn = !flags['dry-run'];
  if (!flags.prometheus || (isDrawn && !flags.out) || files.length === 0 || !(range.toMs > range.fromMs) || !['dark', 'light'].includes(flags.theme)) {
    console.error(USAGE);
    return 2;
  }
  const allowed = Object.fromEntries(flags['allow-empty'].map(pair));
  const chosen = {};
  for (const [name, value] of flags.var.map(pair)) {
    (chosen[name] ??= []).push(value);
  }

  const prometheus = new Prometheus(flags.prometheus);
  const width = Number(flags.width) - 32;
  const boards = [];
  for (const file of files) {
    const gathered = await gather(await read(file), prometheus, range, chosen, width);
    boards.push({ name: path.basename(file, '.json'), ...gathered });
  }
  const { errors, texts } = isDrawn ? await pictures(boards, flags, width) : { errors: [], texts: [] };

  const results = boards.flatMap((board) => board.results);
  const complaints = [...judge(results, allowed), ...errors];
  console.log(flags.json ? JSON.stringify({ results, texts, complaints }, null, 1) : table(results));
  for (const complaint of complaints) {
    console.error(`error: ${complaint}`);
  }
  return complaints.length === 0 ? 0 : 1;
}

/** Draws them all, in one browser. Returns {errors, texts} of all pages. */
async function pictures(boards, flags, width) {
  await mkdir(flags.out, { recursive: true });
  const built = path.resolve(flags.page ?? (await mkdtemp(path.join(os.tmpdir(), 'halfopen-page-'))));
  const all = { errors: [], texts: [] };
  let browser;
  try {
    if (!existsSync(path.join(built, 'page.js'))) {
      await bundle(built);
    }
    browser = await open(flags.chromium);
    for (const { name, page } of boards) {
      const { errors, texts } = await draw(browser, {
        model: { page, width, theme: flags.theme },
        built,
        scale: Number(flags.scale),
        picture: path.join(flags.out, `${name}.png`),
        panelPicture: flags.panels ? (panel) => path.join(flags.out, `${name}-${panel.id}.png`) : undefined,
      });
      all.errors.push(...errors.map((error) => `drawing ${name}: ${error}`));
      all.texts.push(...texts);
    }
  } finally {
    await browser?.close();
    if (!flags.page) {
      await rm(built, { recursive: true, force: true });
    }
  }
  return all;
}

async function read(file) {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new Error(`reading the dashboard ${file}: ${error.message}`, { cause: error });
  }
}

function pair(text) {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) {
    throw new Error(`"${text}" is not NAME=VALUE`);
  }
  return [text.slice(0, at), text.slice(at + 1)];
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
