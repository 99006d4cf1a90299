// Runs a dashboard's queries and makes the model that the page draws, with a record of each query.
// Never draws, and never turns a failed query into an empty one.

import { box, labelValues, panels, targets } from './dashboard.mjs';
import { interpolate, legend, macros, milliseconds, regions, stepMs } from './interpolate.mjs';

/** Grafana's step of an annotation query that names none. */
const ANNOTATION_STEP = '60s';

/**
 * @param dashboard the dashboard's JSON
 * @param {import('./prometheus.mjs').Prometheus} prometheus
 * @param range {fromMs, toMs, scrapeMs}: what is shown, and the data source's scrape interval
 * @param chosen variable name -> values, where All or the first one is not meant
 * @param width of the grid in pixels
 */
export async function gather(dashboard, prometheus, range, chosen, width) {
  const results = [];
  const note = (panel, record) => results.push({ dashboard: dashboard.title, panel, ...record });
  const variables = await fill(dashboard, prometheus, range, chosen, note);
  const annotations = await marks(dashboard, prometheus, range, variables, note);
  const drawn = [];
  for (const panel of panels(dashboard)) {
    const place = box(panel.gridPos, width);
    const title = interpolate(panel.title ?? '', { variables }, 'text');
    const series = [];
    for (const target of targets(panel)) {
      const run = await query(panel, target, place, { prometheus, range, variables });
      note(title, run.record);
      series.push(...run.series);
    }
    drawn.push({ ...panel, title, box: place, series });
  }
  return {
    results,
    page: {
      title: dashboard.title,
      links: dashboard.links ?? [],
      tags: dashboard.tags ?? [],
      variables: variables.filter((variable) => !variable.hidden),
      annotations,
      range,
      panels: drawn,
    },
  };
}

async function query(panel, target, place, { prometheus, range, variables }) {
  const at = { ...range, maxDataPoints: panel.maxDataPoints ?? place.width };
  const least = target.interval || panel.interval;
  at.leastMs = least ? milliseconds(interpolate(least, { variables })) : range.scrapeMs;
  at.stepMs = stepMs(at);
  const record = { kind: 'panel', refId: target.refId, expr: target.expr, series: 0, samples: 0 };
  try {
    const expr = interpolate(target.expr, { variables, macros: macros(at) });
    record.expr = expr;
    const both = [];
    if (target.range || !target.instant) {
      const step = at.stepMs * (target.intervalFactor || 1);
      both.push(...(await prometheus.range(expr, { ...range, step })).map((one) => ({ ...one, step })));
    }
    if (target.instant) {
      both.push(...(await prometheus.instant(expr, range.toMs)));
    }
    Object.assign(record, count(both));
    const series = both.map((one) => ({
      ...one,
      refId: target.refId,
      format: target.format ?? 'time_series',
      name: legend(target.legendFormat, one.labels),
    }));
    return { record, series };
  } catch (error) {
    return { record: { ...record, error: error.message }, series: [] };
  }
}

/** What holds a number: a series of NaN alone, such as a quantile of nothing, has no data. */
function count(series) {
  const known = series.map((one) => one.samples.filter(([, value]) => !Number.isNaN(value)).length);
  return { series: known.filter((samples) => samples > 0).length, samples: known.reduce((sum, samples) => sum + samples, 0) };
}

async function fill(dashboard, prometheus, range, chosen, note) {
  const filled = [];
  for (const declared of dashboard.templating?.list ?? []) {
    const variable = {
      name: declared.name,
      label: declared.label || declared.name,
      multi: Boolean(declared.multi),
      includeAll: Boolean(declared.includeAll),
      allValue: declared.allValue || undefined,
      hidden: declared.hide === 2 || declared.hide === 'hideVariable',
      all: false,
      values: [],
      options: await options(declared, prometheus, range, filled),
    };
    if (declared.type === 'query') {
      const { length } = variable.options;
      note(`$${declared.name}`, { kind: 'variable', refId: '', expr: text(declared), series: length, samples: length });
    }
    choose(variable, chosen[declared.name], declared.current?.value);
    filled.push(variable);
  }
  for (const name of Object.keys(chosen)) {
    if (!filled.some((variable) => variable.name === name)) {
      throw new Error(`"${dashboard.title}" has no variable ${name}`);
    }
  }
  return filled;
}

function text({ query, definition }) {
  return (typeof query === 'string' ? query : query?.query) ?? definition ?? '';
}

async function options(declared, prometheus, range, filled) {
  switch (declared.type) {
    case 'datasource':
      return ['Prometheus'];
    case 'query': {
      if (declared.regex) {
        throw new Error(`variable ${declared.name} has a regex, which is not known here`);
      }
      const query = labelValues(text(declared));
      if (query.selector) {
        query.selector = interpolate(query.selector, { variables: filled });
      }
      return prometheus.labelValues(query, range);
    }
    case 'custom':
      return String(declared.query).split(',').map((value) => value.trim());
    case 'constant':
    case 'textbox':
      return [String(declared.query)];
    default:
      throw new Error(`variable ${declared.name} is of type ${declared.type}, which is not known here`);
  }
}

/** What a person chose, else what the dashboard was saved with, else All, else the first. */
function choose(variable, wanted, saved) {
  if (wanted?.length) {
    const unknown = wanted.find((value) => !variable.options.includes(value));
    if (unknown !== undefined) {
      throw new Error(
        `variable ${variable.name} cannot be "${unknown}"; there are: ${variable.options.join(', ') || 'none'}`,
      );
    }
    variable.values = wanted;
    return;
  }
  const kept = [saved].flat().filter((value) => variable.options.includes(value));
  if (kept.length > 0) {
    variable.values = kept;
  } else if (variable.includeAll) {
    variable.all = true;
  } else {
    variable.values = variable.options.slice(0, 1);
  }
}

async function marks(dashboard, prometheus, range, variables, note) {
  const found = [];
  for (const annotation of dashboard.annotations?.list ?? []) {
    const asked = annotation.expr ?? annotation.target?.expr;
    if (annotation.builtIn || annotation.enable === false || !asked) {
      continue;
    }
    const leastMs = milliseconds(annotation.step || ANNOTATION_STEP);
    const step = stepMs({ ...range, maxDataPoints: 1000, leastMs });
    const record = { kind: 'annotation', refId: '', expr: asked, series: 0, samples: 0 };
    let series = [];
    try {
      const at = { ...range, stepMs: step, leastMs };
      record.expr = interpolate(asked, { variables, macros: macros(at) });
      series = await prometheus.range(record.expr, { ...range, step });
      Object.assign(record, count(series));
    } catch (error) {
      record.error = error.message;
    }
    note(annotation.name, record);
    found.push({
      name: annotation.name,
      color: annotation.iconColor,
      regions: series.flatMap((one) => regions(one.samples, step)),
    });
  }
  return found;
}
