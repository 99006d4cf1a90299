// One component for each panel type, all of them Grafana's own.
// Never draws a value itself: that is Grafana's part.

import { VizOrientation, getDisplayProcessor, getDisplayValueAlignmentFactors, getFieldDisplayValues, renderTextPanelMarkdown } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { Annotations } from './annotations.jsx';
import { withDefaults } from './frames.js';

const LEGEND = { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] };

/** The inside of a panel. */
export function Panel(props) {
  const { panel, frames } = props;
  if (panel.type === 'text') {
    const html = { __html: renderTextPanelMarkdown(panel.options?.content ?? '') };
    return <div className="markdown-html" dangerouslySetInnerHTML={html} />;
  }
  // A stat shows its noValue itself; every other kind says it in words.
  const isEmpty = frames.every((frame) => frame.length === 0);
  if (isEmpty && panel.type !== 'stat' && panel.type !== 'bargauge') {
    return <NoData {...props} />;
  }
  return { timeseries: Graph, stat: Stat, bargauge: Bars, table: Table }[panel.type](props);
}

function NoData({ panel, width, height, theme }) {
  const style = { width, height, display: 'grid', placeContent: 'center', color: theme.colors.text.secondary };
  return <div style={style}>{panel.fieldConfig?.defaults?.noValue ?? 'No data'}</div>;
}

function Graph({ panel, frames, width, height, range, theme, annotations }) {
  return (
    <TimeSeries
      frames={graphable(frames, theme)}
      width={width}
      height={height}
      timeRange={range}
      timeZone="utc"
      legend={{ ...LEGEND, ...panel.options?.legend }}
      options={panel.options ?? {}}
    >
      {(builder) => <Annotations builder={builder} annotations={annotations} theme={theme} />}
    </TimeSeries>
  );
}

/** Numbers that can be plotted, each series with its place in the palette. */
function graphable(frames, theme) {
  let seriesIndex = 0;
  return frames.map((frame) => ({
    ...frame,
    fields: frame.fields.map((field) => {
      if (field.type !== 'number') {
        return field;
      }
      const values = field.values.map((value) => (Number.isFinite(value) ? value : null));
      const copy = { ...field, values, state: { ...field.state, seriesIndex: seriesIndex++ } };
      copy.display = getDisplayProcessor({ field: copy, theme, timeZone: 'utc' });
      return copy;
    }),
  }));
}

function values({ panel, frames, theme }, sparkline) {
  return getFieldDisplayValues({
    fieldConfig: withDefaults(panel),
    reduceOptions: { calcs: ['lastNotNull'], values: false, fields: '', ...panel.options?.reduceOptions },
    replaceVariables: (text) => text,
    theme,
    data: frames,
    sparkline,
    percentChange: panel.options?.showPercentChange,
    timeZone: 'utc',
  });
}

function Stat(props) {
  const { panel, width, height, range, theme } = props;
  const options = { graphMode: 'area', colorMode: 'value', justifyMode: 'auto', textMode: 'auto', orientation: VizOrientation.Auto, ...panel.options };
  const render = ({ value, alignmentFactors, width, height, count }) => {
    const sparkline = value.sparkline && { ...value.sparkline, timeRange: range };
    return (
      <BigValue
        value={value.display}
        count={count}
        sparkline={sparkline}
        colorMode={options.colorMode}
        graphMode={options.graphMode}
        justifyMode={options.justifyMode}
        textMode={options.textMode}
        alignmentFactors={alignmentFactors}
        text={options.text}
        wideLayout={options.wideLayout ?? true}
        showPercentChange={options.showPercentChange}
        percentChangeColorMode={options.percentChangeColorMode}
        width={width}
        height={height}
        theme={theme}
        hasLinks={false}
      />
    );
  };
  return repeat(props, options, render, () => values(props, options.graphMode !== 'none'), { itemSpacing: 3, autoGrid: true, width, height });
}

function Bars(props) {
  const { panel, width, height, theme } = props;
  const options = { displayMode: 'gradient', valueMode: 'color', namePlacement: 'auto', showUnfilled: true, sizing: 'auto', orientation: VizOrientation.Auto, ...panel.options };
  const render = ({ value, alignmentFactors, orientation, width, height, count }) => (
    <BarGauge
      value={value.display}
      width={width}
      height={height}
      orientation={orientation}
      field={value.field}
      text={options.text}
      display={value.view?.getFieldDisplayProcessor(value.colIndex)}
      theme={theme}
      itemSpacing={options.displayMode === 'lcd' ? 2 : 10}
      displayMode={options.displayMode}
      alignmentFactors={count > 1 ? alignmentFactors : undefined}
      showUnfilled={options.showUnfilled}
      valueDisplayMode={options.valueMode}
      namePlacement={options.namePlacement}
    />
  );
  const sizes = { minVizWidth: options.minVizWidth ?? 8, minVizHeight: options.minVizHeight ?? 16, maxVizHeight: options.maxVizHeight ?? 300 };
  return repeat(props, options, render, () => values(props, false), { itemSpacing: 10, ...sizes, width, height });
}

function repeat(props, options, renderValue, getValues, rest) {
  return (
    <VizRepeater
      getValues={getValues}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={renderValue}
      source={props.frames}
      renderCounter={0}
      orientation={options.orientation}
      {...rest}
    />
  );
}

function Table({ panel, frames, width, height, range }) {
  const { options = {} } = panel;
  return (
    <TableNG
      data={frames[options.frameIndex ?? 0]}
      width={width}
      height={height}
      noHeader={options.showHeader === false}
      sortBy={options.sortBy}
      cellHeight={options.cellHeight}
      timeRange={range}
      fieldConfig={withDefaults(panel)}
      structureRev={1}
      disableSanitizeHtml={false}
    />
  );
}
