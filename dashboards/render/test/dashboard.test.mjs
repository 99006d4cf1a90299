// What a dashboard's JSON asks for, and what of its answers is a failure: as tables.
// Never asks a server.

import assert from 'node:assert/strict';
import test from 'node:test';
import { box, labelValues, panels, targets } from '../src/dashboard.mjs';
import { judge, table } from '../src/report.mjs';

const at = (x, y, w, h) => ({ x, y, w, h });

test('a collapsed row is unfolded and moves what is below', () => {
  const dashboard = {
    title: 'T',
    panels: [
      { id: 3, type: 'stat', title: 'below', gridPos: at(0, 2, 6, 4) },
      { id: 1, type: 'row', title: 'row', collapsed: true, gridPos: at(0, 1, 24, 1), panels: [{ id: 2, type: 'stat', title: 'inside', gridPos: at(0, 2, 6, 8) }] },
      { id: 0, type: 'row', title: 'open', collapsed: false, gridPos: at(0, 0, 24, 1), panels: [] },
    ],
  };
  assert.deepEqual(panels(dashboard).map(({ id, gridPos }) => [id, gridPos.y]), [[0, 0], [1, 1], [2, 2], [3, 10]]);
});

test('what would be drawn wrongly is refused by name', () => {
  const cases = [
    [{ type: 'heatmap' }, /heatmap/],
    [{ type: 'stat', repeat: 'instance' }, /repeats by \$instance/],
    [{ type: 'stat', timeFrom: '1h' }, /time range of its own/],
    [{ type: 'table', transformations: [{ id: 'calculateField' }] }, /calculateField/],
  ];
  for (const [panel, expected] of cases) {
    const dashboard = { title: 'T', panels: [{ id: 1, title: 'P', gridPos: at(0, 0, 1, 1), ...panel }] };
    assert.throws(() => panels(dashboard), expected);
  }
});

test('the grid has 24 columns, rows of 30 pixels and gaps of 8', () => {
  assert.deepEqual(box(at(0, 0, 24, 1), 1568), { left: 0, top: 0, width: 1568, height: 30 });
  const [left, right] = [box(at(0, 2, 12, 4), 1568), box(at(12, 2, 12, 4), 1568)];
  assert.deepEqual(left, { left: 0, top: 76, width: 780, height: 144 });
  assert.equal(right.left - left.width, 8);
  assert.equal(right.left + right.width, 1568);
});

test('hidden and empty queries do not run', () => {
  const run = targets({ targets: [{ refId: 'A', expr: 'up' }, { refId: 'B', expr: 'up', hide: true }, { refId: 'C', expr: '' }] });
  assert.deepEqual(run.map(({ refId }) => refId), ['A']);
  assert.deepEqual(targets({}), []);
});

test('variable queries', () => {
  assert.deepEqual(labelValues('label_values(job)'), { label: 'job' });
  assert.deepEqual(labelValues('label_values(up{job=~"a,b"}, instance)'), { label: 'instance', selector: 'up{job=~"a,b"}' });
  assert.throws(() => labelValues('query_result(up)'), /query_result/);
});

test('only what has data, or a reason to have none, passes', () => {
  const result = (panel, series, more) => ({ dashboard: 'D', panel, kind: 'panel', refId: 'A', expr: `e_${panel}`, series, ...more });
  const cases = [
    ['data', [result('p', 1)], {}, []],
    ['no data', [result('p', 0)], {}, [/D \/ p \/ A has no data; asked: e_p/]],
    ['one query of two has data', [result('p', 0, { refId: 'B' }), result('p', 2)], {}, [/D \/ p \/ B has no data/]],
    ['a reason for that query', [result('p', 0, { refId: 'B' }), result('p', 2)], { 'p / B': 'why' }, []],
    ['a reason for the other query', [result('p', 0, { refId: 'B' }), result('p', 2)], { 'p / A': 'why' }, [/D \/ p \/ B has no data/]],
    ['no data with a reason', [result('p', 0)], { p: 'why' }, []],
    ['a failed query, reason or not', [result('p', 0, { error: 'boom' })], { p: 'why' }, [/D \/ p \/ A: boom/]],
    ['a failed query beside a good one', [result('p', 0, { error: 'boom' }), result('p', 2)], {}, [/boom/]],
    ['a reason for no panel', [result('p', 1)], { q: 'why' }, [/"q", which is no panel/]],
    ['an annotation may mark nothing', [result('p', 0, { kind: 'annotation', refId: '' })], {}, []],
    ['a failed annotation', [result('p', 0, { kind: 'annotation', error: 'boom' })], {}, [/boom/]],
    ['a variable without values', [result('$v', 0, { kind: 'variable', refId: '' })], {}, [/\$v has no data/]],
  ];
  for (const [why, results, allowed, expected] of cases) {
    const complaints = judge(results, allowed);
    assert.equal(complaints.length, expected.length, `${why}: ${complaints}`);
    expected.forEach((pattern, index) => assert.match(complaints[index], pattern, why));
  }
});

test('the table has a line for each query', () => {
  const lines = table([{ dashboard: 'D', panel: 'long name', refId: 'A', series: 3 }, { dashboard: 'D', panel: 'p', refId: 'B', error: 'x' }]).split('\n');
  assert.deepEqual(lines.map((line) => line.split(/ {2,}/)), [['dashboard', 'panel', 'query', 'series'], ['D', 'long name', 'A', '3'], ['D', 'p', 'B', 'failed']]);
});
