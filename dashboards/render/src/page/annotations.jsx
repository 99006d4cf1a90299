// Draws a dashboard's annotations over a time series panel: a dashed line for a moment, a shaded
// span between two, with a mark under the axis. Never changes the data beneath.

import { useLayoutEffect } from 'react';

/** Height of the mark under the axis, in pixels. */
const MARK = 5;

/** Hooks itself into the plot that `builder` makes. */
export function Annotations({ builder, annotations, theme }) {
  useLayoutEffect(() => {
    builder.addHook('draw', (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height + MARK * devicePixelRatio);
      ctx.clip();
      ctx.lineWidth = 2 * devicePixelRatio;
      for (const { color: name = 'rgba(0, 211, 255, 1)', regions } of annotations) {
        const color = theme.visualization.getColorByName(name);
        ctx.strokeStyle = color;
        ctx.fillStyle = color;
        for (const { time, timeEnd } of regions) {
          const left = place(plot, time);
          const right = place(plot, timeEnd);
          ctx.setLineDash([5 * devicePixelRatio, 5 * devicePixelRatio]);
          for (const x of new Set([left, right])) {
            ctx.beginPath();
            ctx.moveTo(x, bbox.top);
            ctx.lineTo(x, bbox.top + bbox.height);
            ctx.stroke();
          }
          ctx.globalAlpha = 0.1;
          ctx.fillRect(left, bbox.top, right - left, bbox.height);
          ctx.globalAlpha = 1;
          mark(ctx, left, right, bbox.top + bbox.height);
        }
      }
      ctx.restore();
    });
  }, [builder, annotations, theme]);
  return null;
}

function place(plot, time) {
  return Math.round(plot.valToPos(time, 'x', true));
}

/** A bar under a span, a triangle under a moment. */
function mark(ctx, left, right, bottom) {
  const size = MARK * devicePixelRatio;
  if (right > left) {
    ctx.fillRect(left, bottom, right - left, size);
    return;
  }
  ctx.beginPath();
  ctx.moveTo(left, bottom);
  ctx.lineTo(left - size, bottom + size);
  ctx.lineTo(left + size, bottom + size);
  ctx.fill();
}
