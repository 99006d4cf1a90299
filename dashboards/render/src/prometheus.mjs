// Asks a Prometheus server over its HTTP API.
// Never hides a warning or an error: both name the query that caused them.

const PATIENCE_MS = 20_000;

/** One Prometheus server. */
export class Prometheus {
  /** @param {string} url its address, with any path prefix */
  constructor(url) {
    this.url = url.replace(/\/+$/, '');
  }

  /** Series over time: [{labels, samples: [[ms, number]]}]. */
  async range(expr, { fromMs, toMs, step }) {
    // As Grafana does: ends on multiples of the step, so that a redraw shows the same points.
    const start = Math.floor(fromMs / step) * step;
    const end = Math.floor(toMs / step) * step;
    const data = await this.#ask('query_range', {
      query: expr,
      start: start / 1000,
      end: end / 1000,
      step: step / 1000,
    });
    return data.result.map(({ metric, values }) => ({ labels: metric, samples: values.map(sample) }));
  }

  /** Series at one moment, in the same form. */
  async instant(expr, atMs) {
    const data = await this.#ask('query', { query: expr, time: atMs / 1000 });
    if (data.resultType === 'scalar') {
      return [{ labels: {}, samples: [sample(data.result)] }];
    }
    if (data.resultType !== 'vector') {
      throw new Error(`query ${expr} gives a ${data.resultType}, not a vector`);
    }
    return data.result.map(({ metric, value }) => ({ labels: metric, samples: [sample(value)] }));
  }

  /** The values of a label in the range, sorted. */
  async labelValues({ label, selector }, { fromMs, toMs }) {
    const when = { start: Math.floor(fromMs / 1000), end: Math.ceil(toMs / 1000) };
    const match = selector ? { 'match[]': selector } : {};
    return this.#ask(`label/${label}/values`, { ...when, ...match });
  }

  async #ask(path, parameters) {
    const query = new URLSearchParams(parameters);
    const what = `${path} ${parameters.query ?? parameters['match[]'] ?? ''}`;
    let answer;
    try {
      const response = await fetch(`${this.url}/api/v1/${path}?${query}`, {
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      answer = await response.json();
    } catch (error) {
      const why = error.cause?.message ?? error.message;
      throw new Error(`asking Prometheus at ${this.url} for ${what}: ${why}`, { cause: error });
    }
    if (answer.status !== 'success') {
      throw new Error(`Prometheus refuses ${what}: ${answer.error}`);
    }
    if (answer.warnings?.length) {
      throw new Error(`Prometheus warns about ${what}: ${answer.warnings.join('; ')}`);
    }
    return answer.data;
  }
}

function sample([seconds, text]) {
  const value = { '+Inf': Infinity, '-Inf': -Infinity }[text] ?? Number(text);
  return [Math.round(seconds * 1000), value];
}
