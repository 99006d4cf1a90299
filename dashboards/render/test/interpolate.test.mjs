// Grafana's interpolation rules as tables; the step's rounding is compared with Grafana's own code.
// Never asks a server.

import assert from 'node:assert/strict';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';
import { unused } from '../src/bundle.mjs';
import { duration, escapeRegex, format, interpolate, legend, macros, milliseconds, rateIntervalMs, regions, stepMs } from '../src/interpolate.mjs';

const several = { name: 'instance', multi: true, includeAll: true, all: false, values: ['a.b:1', 'c+d'], options: ['a.b:1', 'c+d', 'e'] };
const one = { ...several, values: ['a.b:1'] };
const all = { ...several, all: true, values: [] };
const single = { name: 'job', multi: false, includeAll: false, all: false, values: ['say "hi" \\o/'], options: [] };
const scope = { variables: [several, { ...single, values: ['halfopen'] }], macros: { __range: '60s', __rate_interval: '4s' } };

test('a variable in a query', () => {
  const cases = [
    ['several are an alternation, each escaped', several, undefined, '(a\\\\.b:1|c\\\\+d)'],
    ['one of several needs no parentheses', one, undefined, 'a\\\\.b:1'],
    ['All is every option', all, undefined, '(a\\\\.b:1|c\\\\+d|e)'],
    ['a custom All stays as it was typed', { ...all, allValue: '.*' }, undefined, '.*'],
    ['a custom All needs no options', { ...all, options: [], allValue: '.*' }, undefined, '.*'],
    ['what is no list is escaped for a quoted string alone', single, undefined, 'say \\"hi\\" \\\\o/'],
    ['pipe', several, 'pipe', 'a.b:1|c+d'],
    ['csv', several, 'csv', 'a.b:1,c+d'],
    ['regex', several, 'regex', '(a\\.b:1|c\\+d)'],
    ['raw', one, 'raw', 'a.b:1'],
    ['text of several', several, 'text', 'a.b:1 + c+d'],
    ['text of All', all, 'text', 'All'],
  ];
  for (const [why, variable, how, expected] of cases) {
    assert.equal(format(variable, how), expected, why);
  }
  assert.throws(() => format({ ...all, options: [] }), /\$instance has no value/);
  assert.throws(() => format(one, 'sqlstring'), /sqlstring/);
});

test('an escaped value matches itself and nothing else', () => {
  for (const value of ['a.b:1', 'c+d', 'x(y)[z]{1}', 'back\\slash', 'do$lar^', 'qu"ote', "it's", 'a|b?*']) {
    // What PromQL reads between the quotes, as a regular expression anchored at both ends.
    const inQuotes = JSON.parse(`"${escapeRegex(value)}"`);
    assert.match(value, new RegExp(`^(?:${inQuotes})$`), value);
    assert.doesNotMatch(`${value}x`, new RegExp(`^(?:${inQuotes})$`), value);
  }
});

test('where a variable may stand', () => {
  const cases = [
    ['up{job="$job"}', 'up{job="halfopen"}'],
    ['up{job="${job}"}', 'up{job="halfopen"}'],
    ['up{job="[[job]]"}', 'up{job="halfopen"}'],
    ['up{instance=~"${instance:pipe}"}', 'up{instance=~"a.b:1|c+d"}'],
    ['rate(x[$__rate_interval]) > $__range', 'rate(x[4s]) > 60s'],
    ['up{job=~"half.*$"}', 'up{job=~"half.*$"}'],
  ];
  for (const [text, expected] of cases) {
    assert.equal(interpolate(text, scope), expected);
  }
  assert.throws(() => interpolate('up{pod="$pod"}', scope), /\$pod names no variable/);
  assert.throws(() => interpolate('x[$__rate_intervall]', scope), /names no variable/);
});

test('durations', () => {
  for (const [text, expected] of [['15s', 15_000], ['1m', 60_000], ['1h30m', 5_400_000], ['250ms', 250], ['1.5s', 1500]]) {
    assert.equal(milliseconds(text), expected);
  }
  for (const text of ['', '15', 'soon', '5s later', '-1s']) {
    assert.throws(() => milliseconds(text), /not a duration/);
  }
  for (const [ms, expected] of [[15_000, '15s'], [60_000, '1m'], [90_000, '90s'], [5_400_000, '90m'], [86_400_000, '1d'], [250, '250ms']]) {
    assert.equal(duration(ms), expected);
  }
});

/** Grafana's own module; bundled, since Node.js 18 cannot load it as it is. */
async function grafanaData() {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: "export { rangeUtil } from '@grafana/data';", resolveDir: fileURLToPath(new URL('.', import.meta.url)) },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    define: { global: 'globalThis', 'process.env.NODE_ENV': '"production"' },
    plugins: [unused],
    write: false,
    logLevel: 'error',
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

test('the step of a range query is that of Grafana', async () => {
  const { rangeUtil } = await grafanaData();
  for (let interval = 1; interval < 4e9; interval = Math.ceil(interval * 1.3)) {
    const at = { fromMs: 0, toMs: interval * 500, maxDataPoints: 500, leastMs: 1 };
    assert.equal(stepMs(at), Math.max(1, rangeUtil.roundInterval(interval)), `${interval} ms`);
  }
  const hour = { fromMs: 0, toMs: 3_600_000, leastMs: 15_000 };
  assert.equal(stepMs({ ...hour, maxDataPoints: 700 }), 15_000, 'never below the scrape interval');
  assert.equal(stepMs({ ...hour, maxDataPoints: 60 }), 60_000);
  assert.equal(stepMs({ ...hour, toMs: 30 * 86_400_000, leastMs: 1000, maxDataPoints: 1e6 }), 300_000, 'never more than 11,000 points');
});

test('$__rate_interval is at least four scrapes, and a step and a scrape', () => {
  for (const [step, scrape, expected] of [[15_000, 15_000, 60_000], [60_000, 15_000, 75_000], [45_000, 15_000, 60_000], [1000, 1000, 4000], [300_000, 60_000, 360_000]]) {
    assert.equal(rateIntervalMs({ stepMs: step, leastMs: scrape }), expected);
  }
  const given = macros({ fromMs: 1_000_000, toMs: 1_600_000, stepMs: 15_000, leastMs: 15_000 });
  assert.equal(given.__rate_interval, '1m');
  assert.equal(given.__interval, '15s');
  assert.equal(given.__range, '600s');
  assert.equal(given.__range_s, '600');
});

test('legends', () => {
  const labels = { cause: 'keepalive', owner: 'nginx.service' };
  assert.equal(legend('{{cause}} of {{ owner }}', labels), 'keepalive of nginx.service');
  assert.equal(legend('{{nothing}}', labels), '');
  assert.equal(legend('__auto', labels), undefined);
  assert.equal(legend(undefined, labels), undefined);
});

test('annotations: samples above zero, joined within a step', () => {
  const samples = [[0, 0], [10, 1], [20, 3], [30, 0], [40, NaN], [50, 2], [90, 1]];
  assert.deepEqual(regions(samples, 10), [{ time: 10, timeEnd: 20 }, { time: 50, timeEnd: 50 }, { time: 90, timeEnd: 90 }]);
  assert.deepEqual(regions([], 10), []);
});
