/** One line of a chart, with dots where they have room. */
import type { Line, Plane } from "./Chart";

const DOTS_APART_PX = 14;

interface Props {
  line: Line;
  plane: Plane;
  /** Keeps a line that begins below the axis above it. */
  clip: string;
}

export function ChartLine({ line, plane: { x, y, bottom }, clip }: Props) {
  const { steps, values } = line.points;
  const spots = steps.map((step, i) => [x(step), y(values[i] as number)] as const);
  const path = spots.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join("L");
  const span = (spots.at(-1)?.[0] ?? 0) - (spots[0]?.[0] ?? 0);
  const isSparse = span >= (spots.length - 1) * DOTS_APART_PX;
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
