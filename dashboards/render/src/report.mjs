// What the queries gave, and what of it is a failure.
// Never forgives an empty panel that nobody gave a reason for.

/** The complaints about `results`; `allowed` maps panel titles to the reason why they may be empty. */
export function judge(results, allowed) {
  const complaints = results
    .filter(({ error }) => error)
    .map(({ dashboard, panel, refId, error }) => `${dashboard} / ${panel} / ${refId}: ${error}`);
  const panels = new Map();
  // An annotation without data is a range in which nothing happened.
  for (const result of results.filter(({ kind }) => kind !== 'annotation')) {
    const key = `${result.dashboard} / ${result.panel}`;
    const panel = panels.get(key) ?? { title: result.panel, series: 0, failed: false, exprs: [] };
    panel.series += result.series;
    panel.failed ||= Boolean(result.error);
    panel.exprs.push(result.expr);
    panels.set(key, panel);
  }
  for (const [key, { title, series, failed, exprs }] of panels) {
    if (series === 0 && !failed && !Object.hasOwn(allowed, title)) {
      complaints.push(`${key} has no data; asked: ${exprs.join(' ; ')}`);
    }
  }
  for (const title of Object.keys(allowed)) {
    if (![...panels.values()].some((panel) => panel.title === title)) {
      complaints.push(`--allow-empty names the panel "${title}", which no dashboard here has`);
    }
  }
  return complaints;
}

/** One line a query: dashboard, panel, query, number of series. */
export function table(results) {
  const rows = results.map(({ dashboard, panel, refId, series, error }) => [dashboard, panel, refId, error ? 'failed' : String(series)]);
  const all = [['dashboard', 'panel', 'query', 'series'], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => row[column].length)));
  return all.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n');
}
