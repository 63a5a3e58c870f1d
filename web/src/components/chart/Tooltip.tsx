/** The values at a chart's cursor. */
import { count } from "../../lib/format";
import { nearest } from "../../lib/scale";
import type { ChartProps, PlotArea } from "./types";

interface Props extends ChartProps {
  at: number;
  area: PlotArea;
}

export function Tooltip({ lines, stepsPerEpoch, format, at, area }: Props) {
  const { width, yRange, x } = area;
  const epoch = at / stepsPerEpoch;
  const found = lines.flatMap((line) => {
    const i = nearest(line.points.steps, at);
    const step = line.points.steps[i];
    const isNear = step !== undefined && Math.abs(step - at) <= stepsPerEpoch / 2;
    return isNear ? [{ line, value: line.points.values[i] as number }] : [];
  });
  // Do not cover the lines: stand beside the cursor, in the half of the plot that they leave free.
  const isLow = found.some(({ value }) => value > (yRange[0] + yRange[1]) / 2);
  const isLeft = x(at) > width * 0.55;
  const place = isLeft ? { right: width - x(at) + 12 } : { left: x(at) + 12 };
  return (
    <div className={`tooltip${isLow ? " low" : ""}`} style={place} aria-live="polite">
      <small>
        epoch {Number.isInteger(epoch) ? epoch : epoch.toFixed(1)} · step {count(at)}
      </small>
      {found.map(({ line, value }) => (
        <div key={line.name} className={`tone-${line.tone}`}>
          <span className="swatch" aria-hidden="true" />
          {line.label}
          <b>{format(value)}</b>
        </div>
      ))}
    </div>
  );
}
