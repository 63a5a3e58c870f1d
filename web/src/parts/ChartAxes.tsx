/** What lies behind a chart's lines: gridlines with their values, epochs, the marks of stages. */
import { decimals, ticks } from "../lib/scale";
import type { ChartProps, Plane } from "./Chart";

interface Props extends ChartProps {
  plane: Plane;
  isEmpty: boolean;
}

const EPOCH_APART_PX = 70;

export function ChartAxes({ steps, stepsPerEpoch, stages, tick, plane, isEmpty }: Props) {
  const { left, right, top, bottom, height, x, y } = plane;
  const marks = isEmpty ? [] : ticks(plane.yRange, 5);
  const epochs = ticks([0, steps / stepsPerEpoch], Math.min(8, plane.width / EPOCH_APART_PX), true);
  return (
    <>
      {marks.map((value) => (
        <g key={value} transform={`translate(0 ${y(value)})`}>
          <line className="grid" x1={left} x2={right} />
          <text className="tick" x={left - 8} dy="0.32em" textAnchor="end">
            {tick(value, decimals(marks))}
          </text>
        </g>
      ))}
      <line className="axis" x1={left} x2={right} y1={bottom} y2={bottom} />
      {epochs.map((epoch) => (
        <text
          key={epoch}
          className="tick"
          x={x(epoch * stepsPerEpoch)}
          y={height - 9}
          textAnchor="middle"
        >
          {epoch === 0 ? "epoch 0" : epoch}
        </text>
      ))}
      {stages.map((step, i) => (
        <g key={step} transform={`translate(${x(step)} 0)`}>
          <line className="stage" y1={top} y2={bottom} />
          <text className="tick" x={5} y={bottom - 7}>
            stage {i + 2}
          </text>
        </g>
      ))}
    </>
  );
}
