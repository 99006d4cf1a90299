// Prometheus series as Grafana's data frames, with a panel's field options applied.
// Never invents a sample: a gap stays a gap.

import {
  FieldColorModeId,
  FieldConfigOptionsRegistry,
  FieldType,
  applyFieldOverrides,
  cacheFieldDisplayNames,
  displayNameOverrideProcessor,
  identityOverrideProcessor,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import { firstValueFrom } from 'rxjs';

/** The options that a field of a time series panel has when the dashboard names none. */
const GRAPH = {
  drawStyle: 'line',
  lineInterpolation: 'linear',
  lineWidth: 1,
  fillOpacity: 0,
  gradientMode: 'none',
  barAlignment: 0,
  barWidthFactor: 0.6,
  showPoints: 'auto',
  pointSize: 5,
  spanNulls: false,
  insertNulls: false,
  stacking: { mode: 'none', group: 'A' },
  axisPlacement: 'auto',
  axisColorMode: 'text',
  axisLabel: '',
  axisGridShow: true,
  axisCenteredZero: false,
  axisBorderShow: false,
  scaleDistribution: { type: 'linear' },
  hideFrom: { tooltip: false, viz: false, legend: false },
  thresholdsStyle: { mode: 'off' },
};
const TABLE = { align: 'auto', cellOptions: { type: 'auto' }, inspect: false, footer: { reducers: [] } };

const STANDARD = ['unit', 'decimals', 'min', 'max', 'displayName', 'description', 'color', 'thresholds', 'mappings', 'noValue', 'links', 'fieldMinMax', 'filterable'];

standardTransformersRegistry.setInit(() =>
  [...new Set(Object.values(standardTransformers))].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: async () => transformation,
    editor: () => null,
  })),
);
standardFieldConfigEditorRegistry.setInit(() => STANDARD.map((id) => option(id, false)));

/** The frames of a panel: joined, transformed, and with units, colours and names applied. */
export async function framesOf(panel, theme) {
  const tables = panel.series.filter((one) => one.format === 'table');
  const plain = panel.series.filter((one) => one.format !== 'table').map(graphFrame);
  let frames = [...plain, ...tableFrames(tables)];
  const steps = (panel.transformations ?? []).filter((step) => !step.disabled);
  if (steps.length > 0) {
    const context = { interpolate: (text) => text };
    frames = await firstValueFrom(transformDataFrame(steps, frames, context));
  }
  const applied = applyFieldOverrides({
    data: frames,
    fieldConfig: withDefaults(panel),
    fieldConfigRegistry: registry(panel),
    replaceVariables: withLabels,
    theme,
    timeZone: 'utc',
  });
  cacheFieldDisplayNames(applied);
  return applied;
}

/** `${__field.labels.NAME}` in a display name; links stay as they are, since nobody follows them. */
function withLabels(text, scope) {
  const labels = scope?.__dataContext?.value.field?.labels ?? {};
  return text.replace(/\$\{__field\.labels\.(\w+)\}/g, (_, name) => labels[name] ?? '');
}

/** The panel's field options over those of its kind. */
export function withDefaults(panel) {
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const kind = { timeseries: GRAPH, table: TABLE }[panel.type] ?? {};
  const mode = panel.type === 'timeseries' ? FieldColorModeId.PaletteClassic : FieldColorModeId.Thresholds;
  return {
    defaults: {
      color: { mode },
      thresholds: { mode: 'absolute', steps: [{ value: -Infinity, color: 'green' }, { value: 80, color: 'red' }] },
      ...withFirstStep(defaults),
      custom: { ...kind, ...defaults.custom },
    },
    overrides: overrides.map((override) => ({
      ...override,
      properties: override.properties.map((property) =>
        property.id === 'thresholds' ? { ...property, value: withFirstStep({ thresholds: property.value }).thresholds } : property,
      ),
    })),
  };
}

/** JSON knows no -Infinity: the first threshold is saved as null. */
function withFirstStep(defaults) {
  if (!defaults.thresholds) {
    return defaults;
  }
  const steps = defaults.thresholds.steps.map((step) => ({ ...step, value: step.value ?? -Infinity }));
  return { ...defaults, thresholds: { ...defaults.thresholds, steps } };
}

/** Every option that this panel sets: Grafana drops those that a registry does not hold. */
function registry(panel) {
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const kind = { timeseries: GRAPH, table: TABLE }[panel.type] ?? {};
  const custom = new Set([...Object.keys(kind), ...Object.keys(defaults.custom ?? {})]);
  for (const { properties } of overrides) {
    for (const { id } of properties) {
      if (id.startsWith('custom.')) {
        custom.add(id.slice('custom.'.length));
      } else if (!STANDARD.includes(id)) {
        throw new Error(`panel "${panel.title}" overrides ${id}, which is not known here`);
      }
    }
  }
  // A graph's options, such as the axis label, are not for the time, which is the other axis.
  const shouldApply = panel.type === 'timeseries' ? ({ type }) => type !== FieldType.time : () => true;
  const items = [...STANDARD.map((id) => option(id, false)), ...[...custom].map((id) => option(id, true, shouldApply))];
  return new FieldConfigOptionsRegistry(() => items);
}

function option(path, isCustom, shouldApply = () => true) {
  const process = path === 'displayName' ? displayNameOverrideProcessor : identityOverrideProcessor;
  return {
    id: isCustom ? `custom.${path}` : path,
    path,
    name: path,
    isCustom,
    process,
    settings: { expandTemplateVars: path === 'displayName' },
    shouldApply,
    editor: () => null,
    override: () => null,
  };
}

function graphFrame(series) {
  const time = { name: 'Time', type: FieldType.time, config: {}, values: series.samples.map(([at]) => at) };
  if (series.step) {
    time.config.interval = series.step; // Grafana breaks the line where samples are further apart.
  }
  const config = series.name === undefined ? {} : { displayNameFromDS: series.name };
  const { __name__: name = 'Value', ...rest } = series.labels;
  const labels = series.labels.__name__ ? { __name__: name, ...rest } : rest;
  const value = { name, type: FieldType.number, config, labels, values: series.samples.map(([, number]) => number) };
  return { refId: series.refId, name: series.name, fields: [time, value], length: series.samples.length };
}

/** One frame a query: a column for the time, one for each label, one for the value. */
function tableFrames(series) {
  const refIds = [...new Set(series.map((one) => one.refId))];
  return refIds.map((refId) => {
    const rows = series.filter((one) => one.refId === refId);
    const names = [...new Set(rows.flatMap((one) => Object.keys(one.labels).sort()))];
    const cells = rows.flatMap((one) => one.samples.map(([at, value]) => ({ at, value, labels: one.labels })));
    cells.sort((a, b) => a.at - b.at);
    const column = (name, type, values) => ({ name, type, config: type === FieldType.string ? { filterable: true } : {}, values });
    const fields = [
      column('Time', FieldType.time, cells.map((cell) => cell.at)),
      ...names.map((name) => column(name, FieldType.string, cells.map((cell) => cell.labels[name] ?? ''))),
      column(refIds.length > 1 ? `Value #${refId}` : 'Value', FieldType.number, cells.map((cell) => cell.value)),
    ];
    return { refId, fields, length: cells.length };
  });
}
