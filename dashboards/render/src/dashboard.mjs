// What a dashboard's JSON asks for: its panels in their places, their queries, its variables.
// Never asks Prometheus and draws nothing; what it does not know, it refuses by name.

const KINDS = new Set(['timeseries', 'stat', 'bargauge', 'table', 'text', 'row']);
const TRANSFORMATIONS = new Set(['organize', 'sortBy', 'merge', 'filterFieldsByName', 'limit', 'reduce', 'joinByField', 'groupBy', 'renameByRegex']);

/** Every panel, with the panels of collapsed rows unfolded beneath their row. */
export function panels(dashboard) {
  const all = [];
  let shift = 0;
  const sorted = [...(dashboard.panels ?? [])].sort(byPlace);
  for (const panel of sorted) {
    check(panel, dashboard.title);
    const place = { ...panel.gridPos, y: panel.gridPos.y + shift };
    all.push({ ...panel, gridPos: place });
    if (panel.type !== 'row' || !panel.collapsed) {
      continue;
    }
    const inside = [...(panel.panels ?? [])].sort(byPlace);
    const top = Math.min(...inside.map((nested) => nested.gridPos.y));
    const bottom = Math.max(...inside.map((nested) => nested.gridPos.y + nested.gridPos.h));
    for (const nested of inside) {
      check(nested, dashboard.title);
      all.push({ ...nested, gridPos: { ...nested.gridPos, y: place.y + 1 + nested.gridPos.y - top } });
    }
    shift += inside.length === 0 ? 0 : bottom - top;
  }
  return all;
}

/** The queries of a panel that Grafana would run. */
export function targets(panel) {
  return (panel.targets ?? []).filter((target) => !target.hide && target.expr);
}

/** Refuses what this renderer would draw wrongly. */
function check(panel, dashboard) {
  const where = `panel "${panel.title ?? panel.id}" of "${dashboard}"`;
  if (!KINDS.has(panel.type)) {
    throw new Error(`${where} is of type ${panel.type}; known are ${[...KINDS].join(', ')}`);
  }
  for (const transformation of panel.transformations ?? []) {
    if (!TRANSFORMATIONS.has(transformation.id)) {
      throw new Error(`${where} uses the transformation ${transformation.id}, which is not known here`);
    }
  }
  if (panel.repeat) {
    throw new Error(`${where} repeats by $${panel.repeat}, which is not known here`);
  }
  if (panel.timeFrom || panel.timeShift) {
    throw new Error(`${where} has a time range of its own, which is not known here`);
  }
}

function byPlace(a, b) {
  return a.gridPos.y - b.gridPos.y || a.gridPos.x - b.gridPos.x;
}

/** Width and height in pixels of a panel in Grafana's grid: 24 columns, rows of 30, gaps of 8. */
export function box(gridPos, width) {
  const column = (width - 23 * 8) / 24;
  return {
    left: Math.round(gridPos.x * (column + 8)),
    top: gridPos.y * 38,
    width: Math.round(gridPos.w * (column + 8) - 8),
    height: gridPos.h * 38 - 8,
  };
}

/** A `label_values(...)` query as {label} or {label, selector}. */
export function labelValues(text) {
  const call = /^\s*label_values\((?:(.+),)?\s*([A-Za-z_]\w*)\s*\)\s*$/s.exec(text);
  if (!call) {
    throw new Error(`variable query "${text}" is not label_values(label) or label_values(selector, label)`);
  }
  return call[1] === undefined ? { label: call[2] } : { label: call[2], selector: call[1].trim() };
}
