/** The values under a chart's cursor. */
import { count } from "../lib/format";
import { nearest } from "../lib/scale";
import type { ChartProps, Plane } from "./Chart";

interface Props extends ChartProps {
  at: number;
  plane: Plane;
}

export function ChartTip({ lines, stepsPerEpoch, format, at, plane }: Props) {
  const { width, yRange, x } = plane;
  const epoch = at / stepsPerEpoch;
  const found = lines.flatMap((line) => {
    const i = nearest(line.points.steps, at);
    const step = line.points.steps[i];
    const isNear = step !== undefined && Math.abs(step - at) <= stepsPerEpoch / 2;
    return isNear ? [{ line, value: line.points.values[i] as number }] : [];
  });
  // The tip keeps out of the way: beside the cursor, and in the half the lines leave free.
  const isLow = found.some(({ value }) => value > (yRange[0] + yRange[1]) / 2);
  const isLeft = x(at) > width * 0.55;
  const place = isLeft ? { right: width - x(at) + 12 } : { left: x(at) + 12 };
  return (
    <div className={`tip${isLow ? " low" : ""}`} style={place} aria-live="polite">
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
