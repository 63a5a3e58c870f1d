/** One line of a chart, with a dot per point where there is room. */
import type { Line, PlotArea } from "./types";

const DOT_GAP_PX = 14;

interface Props {
  line: Line;
  area: PlotArea;
  /** Cuts off the part of the line that lies below the axis. */
  clip: string;
}

export function LinePath({ line, area: { x, y, bottom }, clip }: Props) {
  const { steps, values } = line.points;
  const spots = steps.map((step, i) => [x(step), y(values[i] as number)] as const);
  const path = spots.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join("L");
  const span = (spots.at(-1)?.[0] ?? 0) - (spots[0]?.[0] ?? 0);
  const isSparse = span >= (spots.length - 1) * DOT_GAP_PX;
  const dots = (isSparse ? spots : spots.slice(-1)).filter(([, b]) => b <= bottom + 0.5);
  return (
    <g className={`tone-${line.tone}`} data-line={line.name} data-points={spots.length}>
      {spots.length > 1 && <path className="line" clipPath={clip} d={`M${path}`} />}
      {dots.map(([a, b]) => (
        <circle key={a} cx={a} cy={b} r={isSparse ? 3 : 3.5} />
      ))}
    </g>
  );
}
