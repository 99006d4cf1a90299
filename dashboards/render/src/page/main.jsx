// The page: a dashboard's head and its panels in Grafana's grid, drawn from `window.model`.
// Never fetches data; what goes wrong is thrown, so that no broken picture passes.

import { ThemeContext, createTheme, dateTime } from '@grafana/data';
import { GlobalStyles, Icon, PanelChrome, ToolbarButton } from '@grafana/ui';
import { useEffect } from 'react';
import { createRoot } from 'react-dom/client';
import { framesOf } from './frames.js';
import { Panel } from './panels.jsx';

const FORMAT = 'YYYY-MM-DD HH:mm:ss';

async function main({ page, theme: mode, width }) {
  const theme = createTheme({ colors: { mode } });
  const [from, to] = [dateTime(page.range.fromMs).utc(), dateTime(page.range.toMs).utc()];
  const range = { from, to, raw: { from, to } };
  const drawn = [];
  for (const panel of page.panels) {
    drawn.push({ panel, frames: panel.type === 'row' ? [] : await framesOf(panel, theme) });
  }
  const height = Math.max(...page.panels.map(({ box }) => box.top + box.height));
  document.body.style.background = theme.colors.background.canvas;
  await loadFonts(theme);
  root('page').render(
    <ThemeContext.Provider value={theme}>
      <div id="dashboard" style={{ width: width + 32, padding: 16, background: theme.colors.background.canvas }}>
        <Head page={page} range={range} theme={theme} />
        <div style={{ position: 'relative', width, height }}>
          {drawn.map((one) => (
            <Place key={one.panel.id} {...one} range={range} theme={theme} annotations={page.annotations} />
          ))}
        </div>
      </div>
    </ThemeContext.Provider>,
  );
}

/** Canvases draw at once and measure what they write: the fonts that the styles name come first. */
async function loadFonts(theme) {
  await new Promise((styled) => {
    function Styled() {
      useEffect(styled, []);
      return <GlobalStyles />;
    }
    root('styles').render(<ThemeContext.Provider value={theme}><Styled /></ThemeContext.Provider>);
  });
  await Promise.all([...document.fonts].map((face) => face.load()));
}

function root(id) {
  return createRoot(document.getElementById(id), { onUncaughtError: fail });
}

function Place({ panel, ...rest }) {
  const { box } = panel;
  const style = { position: 'absolute', ...box };
  if (panel.type === 'row') {
    return (
      <div style={{ ...style, display: 'flex', alignItems: 'center', gap: 8, ...rest.theme.typography.h5 }}>
        <Icon name="angle-down" />
        {panel.title}
      </div>
    );
  }
  return (
    <div id={`panel-${panel.id}`} style={style}>
      <PanelChrome
        title={panel.title}
        description={panel.description}
        width={box.width}
        height={box.height}
        padding={panel.type === 'table' ? 'none' : 'md'}
        displayMode={panel.transparent ? 'transparent' : 'default'}
      >
        {(width, height) => (
          <div data-content style={{ width, height }}>
            <Panel panel={panel} width={width} height={height} {...rest} />
          </div>
        )}
      </PanelChrome>
    </div>
  );
}

function Head({ page, range, theme }) {
  const bar = { display: 'flex', flexWrap: 'wrap', alignItems: 'center', gap: 8, marginBottom: 16 };
  const shown = page.annotations.filter(({ name }) => name);
  return (
    <div id="head">
      <div style={bar}>
        <Icon name="apps" size="lg" />
        <span style={{ ...theme.typography.h4, marginRight: 'auto' }}>{page.title}</span>
        <ToolbarButton icon="clock-nine" variant="canvas">
          {`${range.from.format(FORMAT)} to ${range.to.format(FORMAT)} UTC`}
        </ToolbarButton>
      </div>
      <div style={bar}>
        {page.variables.map((variable) => (
          <Choice key={variable.name} name={variable.label} value={variable.all ? 'All' : variable.values.join(' + ')} theme={theme} />
        ))}
        {shown.map(({ name, color }) => (
          <Choice key={name} name={name} dot={theme.visualization.getColorByName(color ?? 'rgba(0, 211, 255, 1)')} theme={theme} />
        ))}
        <span style={{ marginLeft: 'auto', display: 'flex', gap: 8 }}>
          {page.links.map(({ title, type }) => (
            <ToolbarButton key={title} icon={type === 'dashboards' ? 'apps' : 'external-link-alt'} variant="canvas">
              {title}
            </ToolbarButton>
          ))}
        </span>
      </div>
    </div>
  );
}

/** A variable with what is chosen, or an annotation with its colour. */
function Choice({ name, value, dot, theme }) {
  const cell = {
    display: 'flex',
    alignItems: 'center',
    gap: 8,
    height: 32,
    padding: '0 8px',
    border: `1px solid ${theme.components.input.borderColor}`,
    borderRadius: theme.shape.radius.default,
    fontSize: theme.typography.bodySmall.fontSize,
  };
  const label = { ...cell, background: theme.colors.background.secondary, fontWeight: 500, ...(value !== undefined && { borderRight: 0 }) };
  return (
    <span style={{ display: 'flex' }}>
      <span style={label}>
        {dot && <span style={{ width: 10, height: 10, borderRadius: 5, background: dot }} />}
        {name}
      </span>
      {value !== undefined && (
        <span style={{ ...cell, background: theme.components.input.background, minWidth: 80 }}>
          {value}
          <Icon name="angle-down" style={{ marginLeft: 'auto' }} />
        </span>
      )}
    </span>
  );
}

/** Tells the renderer, which then waits no longer. */
function fail(error) {
  window.failed = true;
  reportError(error);
}

main(window.model).catch(fail);
