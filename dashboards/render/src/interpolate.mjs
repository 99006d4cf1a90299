// Grafana's rules for variables and time macros in a dashboard's texts and queries.
// Never reads a clock, a file or a socket: everything it needs is an argument.

/** Grafana's limit of points that one range query may ask for. */
const SAFE_POINTS = 11000;

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, y: 31_536_000_000 };

/** Grafana's steps: an interval below the first number (ms) becomes the second. */
const STEPS = [
  [10, 1], [15, 10], [35, 20], [75, 50], [150, 100], [350, 200], [750, 500],
  [1500, 1000], [3500, 2000], [7500, 5000], [12500, 10000], [17500, 15000], [25000, 20000],
  [45000, 30000], [90000, 60000], [210000, 120000], [450000, 300000], [750000, 600000],
  [1050000, 900000], [1500000, 1200000], [2700000, 1800000], [5400000, 3600000],
  [9000000, 7200000], [16200000, 10800000], [32400000, 21600000], [86400000, 43200000],
  [604800000, 86400000], [1814400000, 604800000], [3628800000, 2592000000],
];

/** Milliseconds of a duration such as `15s` or `1m30s`. */
export function milliseconds(text) {
  const parts = [...String(text).matchAll(/(\d+(?:\.\d+)?)(ms|[smhdwy])/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== String(text)) {
    throw new Error(`"${text}" is not a duration such as 15s, 1m or 1h30m`);
  }
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit], 0);
}

/** A duration as PromQL spells it, in the largest unit that is exact. */
export function duration(ms) {
  for (const unit of ['d', 'h', 'm', 's']) {
    if (ms >= UNITS[unit] && ms % UNITS[unit] === 0) {
      return `${ms / UNITS[unit]}${unit}`;
    }
  }
  return `${ms}ms`;
}

/** The step (ms) of a panel's range query: the range over its points, rounded, never below `leastMs`. */
export function stepMs({ fromMs, toMs, maxDataPoints, leastMs }) {
  const rounded = (interval) => (STEPS.find(([below]) => interval < below) ?? [0, 31_536_000_000])[1];
  const wanted = rounded((toMs - fromMs) / maxDataPoints);
  return Math.max(wanted, leastMs, rounded((toMs - fromMs) / SAFE_POINTS));
}

/** `$__rate_interval` (ms): always at least four scrapes, so that rate() has samples. */
export function rateIntervalMs({ stepMs: step, leastMs }) {
  return Math.max(step + leastMs, 4 * leastMs);
}

/** The built-in variables of one query. */
export function macros({ fromMs, toMs, stepMs: step, leastMs }) {
  const rate = rateIntervalMs({ stepMs: step, leastMs });
  const seconds = Math.round((toMs - fromMs) / 1000);
  return {
    __interval: duration(step),
    __interval_ms: String(step),
    __rate_interval: duration(rate),
    __rate_interval_ms: String(rate),
    __range: `${seconds}s`,
    __range_s: String(seconds),
    __range_ms: String(toMs - fromMs),
    __from: String(fromMs),
    __to: String(toMs),
  };
}

/** A value inside a quoted PromQL string that is compared with `=`. */
export function escapeExact(value) {
  return value.replace(/[\\"]/g, '\\$&');
}

/** A value inside a quoted PromQL string that is a regular expression: escaped for both. */
export function escapeRegex(value) {
  return value
    .replace(/\\/g, '\\\\\\\\')
    .replace(/"/g, '\\\\\\"')
    .replace(/[$^*{}[\]'+?.()|]/g, '\\\\$&');
}

/**
 * A variable's value as it goes into a query.
 * `variable` is {name, multi, includeAll, all, allValue, values, options}: `values` are the chosen
 * ones, `options` all that there are, `all` says that All is chosen.
 */
export function format(variable, how) {
  const { all, allValue } = variable;
  if (how === 'text') {
    return all ? 'All' : variable.values.join(' + ');
  }
  if (all && allValue) {
    return allValue; // Grafana leaves it as it was typed.
  }
  const values = all ? variable.options : variable.values;
  if (values.length === 0) {
    throw new Error(`variable $${variable.name} has no value`);
  }
  switch (how) {
    case undefined:
      if (!variable.multi && !variable.includeAll) {
        return escapeExact(values[0]);
      }
      return values.length === 1 ? escapeRegex(values[0]) : `(${values.map(escapeRegex).join('|')})`;
    case 'raw':
      return values.length === 1 ? values[0] : `{${values.join(',')}}`;
    case 'csv':
      return values.join(',');
    case 'pipe':
      return values.join('|');
    case 'regex': {
      const escaped = values.map((value) => value.replace(/[\\^$*+?.()|[\]{}/]/g, '\\$&'));
      return escaped.length === 1 ? escaped[0] : `(${escaped.join('|')})`;
    }
    default:
      throw new Error(`variable format \${${variable.name}:${how}} is not known to this renderer`);
  }
}

/**
 * Replaces `$name`, `${name}`, `${name:format}` and `[[name]]`.
 * `scope` is {variables: [..], macros: {..}}; `how` is the format of those that name none.
 */
export function interpolate(text, scope, how) {
  const pattern = /\$(\w+)|\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)(?::(\w+))?\]\]/g;
  return text.replace(pattern, (whole, plain, braced, bracedHow, square, squareHow) => {
    const name = plain ?? braced ?? square;
    if (scope.macros && Object.hasOwn(scope.macros, name)) {
      return scope.macros[name];
    }
    const variable = scope.variables.find((candidate) => candidate.name === name);
    if (!variable) {
      throw new Error(`${whole} names no variable of this dashboard, in: ${text}`);
    }
    return format(variable, bracedHow ?? squareHow ?? how);
  });
}

/** A series' name by `legendFormat`; undefined where Grafana would make one up from its labels. */
export function legend(legendFormat, labels) {
  if (!legendFormat || legendFormat === '__auto') {
    return undefined;
  }
  return legendFormat.replace(/\{\{\s*([^}]+?)\s*\}\}/g, (_, label) => labels[label] ?? '');
}

/**
 * What an annotation query's series mark: [{time, timeEnd}] in ms. Every sample above zero marks its
 * time; marks not further apart than one step are one region.
 */
export function regions(samples, step) {
  const found = [];
  for (const [time, value] of samples) {
    if (!(value > 0)) {
      continue;
    }
    const last = found.at(-1);
    if (last && last.timeEnd + step >= time) {
      last.timeEnd = time;
    } else {
      found.push({ time, timeEnd: time });
    }
  }
  return found;
}
