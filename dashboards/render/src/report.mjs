// What the queries gave, and what of it is a failure.
// Never forgives an empty query that nobody gave a reason for.

/**
 * The complaints about `results`. `allowed` maps `PANEL`, or `PANEL / QUERY` for one query of it, to
 * the reason why it may be without data. A reason for what is not there is a complaint too.
 */
export function judge(results, allowed) {
  const complaints = [];
  const known = new Set();
  for (const { dashboard, panel, kind, refId, expr, series, error } of results) {
    const query = `${panel} / ${refId}`;
    known.add(panel).add(query);
    const where = `${dashboard} / ${refId ? query : panel}`;
    const isExcused = Object.hasOwn(allowed, panel) || Object.hasOwn(allowed, query);
    if (error) {
      complaints.push(`${where}: ${error}`);
    } else if (series === 0 && kind !== 'annotation' && !isExcused) {
      // An annotation without data is a range in which nothing happened.
      complaints.push(`${where} has no data; asked: ${expr}`);
    }
  }
  for (const title of Object.keys(allowed)) {
    if (!known.has(title)) {
      complaints.push(`--allow-empty names "${title}", which is no panel and no query here`);
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
