// The whole way: a dashboard, a server that speaks Prometheus' HTTP API, Chromium, a picture.
// Never trusts the exit code alone: what the page shows is read back, and broken boards must fail.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bundle } from '../src/bundle.mjs';

/** The page, bundled once for all tests. */
let built;
before(async () => {
  built = await mkdtemp(path.join(os.tmpdir(), 'halfopen-page-'));
  await bundle(built);
});
after(() => rm(built, { recursive: true, force: true }));

const MAIN = fileURLToPath(new URL('../src/main.mjs', import.meta.url));
const FROM = 1_700_000_000;
const TO = FROM + 120;

/** What the server knows: 42 of `known`, and a quantile of nothing. */
const SERIES = { known: [{ cause: 'keepalive' }, { cause: 'reset' }], nothing_yet: [{}] };

function answer(request, response) {
  const url = new URL(request.url, 'http://server.invalid');
  const ask = url.searchParams;
  const reply = (data) => response.end(JSON.stringify({ status: 'success', data }));
  const expr = ask.get('query') ?? '';
  if (url.pathname.endsWith('/values')) {
    return reply(['127.0.0.1:1']);
  }
  if (expr.includes('((')) {
    response.statusCode = 400;
    return response.end(JSON.stringify({ status: 'error', errorType: 'bad_data', error: 'parse error: unclosed' }));
  }
  const name = /^\w+/.exec(expr)[0];
  const found = expr.includes('127\\\\.0\\\\.0\\\\.1:1') ? SERIES[name] ?? [] : [];
  const number = name === 'nothing_yet' ? 'NaN' : '42';
  if (url.pathname.endsWith('/query')) {
    return reply({ resultType: 'vector', result: found.map((metric) => ({ metric, value: [Number(ask.get('time')), number] })) });
  }
  const [start, end, step] = ['start', 'end', 'step'].map((key) => Number(ask.get(key)));
  const times = Array.from({ length: Math.floor((end - start) / step) + 1 }, (_, index) => start + index * step);
  return reply({ resultType: 'matrix', result: found.map((metric) => ({ metric, values: times.map((time) => [time, number]) })) });
}

function board(...panels) {
  return {
    title: 'Board',
    templating: { list: [{ name: 'instance', type: 'query', query: 'label_values(known, instance)', multi: true, includeAll: true }] },
    annotations: { list: [{ name: 'Marks', enable: true, expr: 'known{instance=~"$instance"}', iconColor: 'red', step: '5s' }] },
    panels: panels.map((panel, index) => ({ id: index + 1, gridPos: { x: 6 * index, y: 0, w: 6, h: 5 }, ...panel })),
  };
}

const query = (metric, more) => [{ refId: 'A', expr: `${metric}{instance=~"$instance"}`, legendFormat: '{{cause}}', ...more }];
const fine = [
  { type: 'timeseries', title: 'Plot', targets: query('known') },
  { type: 'stat', title: 'Figure', targets: query('known', { instant: true }), fieldConfig: { defaults: { unit: 'percent' } } },
  { type: 'bargauge', title: 'Bars', targets: query('known', { instant: true }) },
  // Far below the others: what is out of a browser's view is easily left undrawn.
  { type: 'table', title: 'Table', targets: query('known', { instant: true, format: 'table' }), gridPos: { x: 0, y: 60, w: 24, h: 8 } },
];

/** Runs the renderer on one board: {code, stdout, stderr, png}. */
async function render(dashboard, ...flags) {
  const server = createServer(answer);
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const folder = await mkdtemp(path.join(os.tmpdir(), 'halfopen-render-test-'));
  try {
    const file = path.join(folder, 'board.json');
    await writeFile(file, JSON.stringify(dashboard));
    const given = ['--prometheus', `http://127.0.0.1:${server.address().port}`, '--from', FROM, '--to', TO, '--out', folder, '--page', built, '--width', 1200];
    const ran = await new Promise((resolve) => {
      execFile(process.execPath, [MAIN, ...given.map(String), ...flags, file], (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
    });
    const png = await readFile(path.join(folder, 'board.png')).catch(() => undefined);
    return { ...ran, png };
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

test('every panel type is drawn with its data', async () => {
  const { code, stdout, stderr, png } = await render(board(...fine), '--json');
  assert.equal(code, 0, stderr);
  const { results, complaints, texts } = JSON.parse(stdout);
  assert.deepEqual(complaints, []);
  assert.deepEqual(results.map(({ panel, series }) => [panel, series]), [['$instance', 1], ['Marks', 2], ['Plot', 2], ['Figure', 2], ['Bars', 2], ['Table', 2]]);
  assert.equal(results[2].expr, 'known{instance=~"127\\\\.0\\\\.0\\\\.1:1"}');
  const shown = Object.fromEntries(texts.map(({ panel, text }) => [panel, text]));
  assert.match(shown.Plot, /keepalive\s+reset/);
  assert.match(shown.Figure, /keepalive\s*42\s*%\s*reset\s*42\s*%/);
  assert.match(shown.Bars, /keepalive/);
  assert.match(shown.Table, /cause[\s\S]*keepalive[\s\S]*42/);
  assert.deepEqual([...png.subarray(1, 4)], [...Buffer.from('PNG')]);
  assert.equal(png.readUInt32BE(16), 1200, 'the width asked for');
});

test('what is broken fails and says where', async () => {
  const cases = [
    ['a misspelt metric', board({ ...fine[1], targets: query('knwon') }), [], /Board \/ Figure \/ A has no data; asked: knwon\{/],
    ['a quantile of nothing', board({ ...fine[1], targets: query('nothing_yet') }), [], /Figure \/ A has no data/],
    ['a query that is refused', board({ ...fine[1], targets: query('known((') }), [], /Board \/ Figure \/ A: .*parse error: unclosed/],
    ['an unknown variable', board({ ...fine[1], targets: [{ refId: 'A', expr: 'known{pod="$pod"}' }] }), [], /\$pod names no variable/],
    ['a choice that is not there', board(fine[1]), ['--var', 'instance=elsewhere'], /cannot be "elsewhere"; there are: 127\.0\.0\.1:1/],
    ['an unknown panel type', board({ ...fine[1], type: 'heatmap' }), [], /heatmap/],
  ];
  for (const [why, dashboard, flags, expected] of cases) {
    const { code, stderr } = await render(dashboard, '--dry-run', ...flags);
    assert.equal(code, 1, why);
    assert.match(stderr, expected, why);
  }
});

test('a page that complains, and a panel that stays blank, fail', async () => {
  const override = [{ matcher: { id: 'byName', options: 'reset' }, properties: [{ id: 'colour', value: 'red' }] }];
  const complaining = await render(board({ ...fine[0], fieldConfig: { overrides: override } }));
  assert.equal(complaining.code, 1);
  assert.match(complaining.stderr, /overrides colour/);
  const words = await render(board(fine[0], { type: 'text', title: 'Words', options: { content: '' } }));
  assert.equal(words.code, 1);
  assert.match(words.stderr, /"Words" is blank/);
});

test('a panel that may be empty shows its noValue', async () => {
  const empty = { ...fine[1], targets: query('absent'), fieldConfig: { defaults: { noValue: 'all quiet' } } };
  const { code, stdout, stderr } = await render(board(empty), '--json', '--allow-empty', 'Figure=nothing has died');
  assert.equal(code, 0, stderr);
  assert.match(JSON.parse(stdout).texts[0].text, /all quiet/);
});
