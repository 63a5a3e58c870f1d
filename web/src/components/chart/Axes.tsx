/** The background of a chart: gridlines with their values, epochs, and stage boundaries. */
import { decimals, ticks } from "../../lib/scale";
import type { ChartProps, PlotArea } from "./types";

interface Props extends ChartProps {
  area: PlotArea;
  isEmpty: boolean;
}

const EPOCH_GAP_PX = 70;

export function Axes({ steps, stepsPerEpoch, stageStarts, formatTick, area, isEmpty }: Props) {
  const { left, right, top, bottom, height, x, y } = area;
  const marks = isEmpty ? [] : ticks(area.yRange, 5);
  const epochs = ticks([0, steps / stepsPerEpoch], Math.min(8, area.width / EPOCH_GAP_PX), true);
  return (
    <>
      {marks.map((value) => (
        <g key={value} transform={`translate(0 ${y(value)})`}>
          <line className="grid" x1={left} x2={right} />
          <text className="tick" x={left - 8} dy="0.32em" textAnchor="end">
            {formatTick(value, decimals(marks))}
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
      {stageStarts.map((step, i) => (
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
