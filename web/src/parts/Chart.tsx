/** Lines over epochs in plain SVG, with a level and a cursor for mouse, finger and arrow keys. */
import { useId } from "react";

import type { Points } from "../lib/curves";
import { linear, widen, type Range } from "../lib/scale";
import { useWidth } from "../lib/size";
import { ChartAxes } from "./ChartAxes";
import { ChartLegend } from "./ChartLegend";
import { ChartLine } from "./ChartLine";
import { ChartTip } from "./ChartTip";
import { useCursor } from "./useCursor";

export interface Line {
  name: string;
  label: string;
  /** Names the colour in tokens.css. */
  tone: string;
  points: Points;
}

export interface Level {
  label: string;
  value: number;
}

export interface ChartProps {
  title: string;
  lines: readonly Line[];
  level?: Level | null;
  /** The last step the axis shows, known from the start so that the axis stands still. */
  steps: number;
  stepsPerEpoch: number;
  /** Steps at which a new stage begins. */
  stages: readonly number[];
  /** What the axis must show, from the values of each line and of the level. */
  range: (values: readonly (readonly number[])[]) => Range;
  format: (value: number) => string;
  /** A tick's text, with as many decimals as the ticks need. */
  tick: (value: number, decimals: number) => string;
  /** The legend names the best of each line too. */
  best?: boolean;
  waiting: string;
}

/** Where values and steps lie, in pixels. */
export interface Plane {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
  yRange: Range;
  x: (step: number) => number;
  y: (value: number) => number;
}

const HEIGHT = 270;
const PAD = { top: 14, right: 14, bottom: 28, left: 52 };

export function Chart(props: ChartProps) {
  const { lines, level } = props;
  const [box, width] = useWidth<HTMLDivElement>(600);
  const plane = lay(props, width);
  const [at, cursor] = useCursor(lines, plane, props.steps);
  const isEmpty = lines.every((line) => line.points.steps.length === 0);
  const { x, y } = plane;
  const clip = useId();

  return (
    <figure className="chart">
      <figcaption>
        <h2>{props.title}</h2>
        <ChartLegend {...props} />
      </figcaption>
      <div ref={box} className="plot" tabIndex={0} role="img" aria-label={tell(props)} {...cursor}>
        <svg width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`} aria-hidden="true">
          <ChartAxes {...props} plane={plane} isEmpty={isEmpty && !level} />
          {level && (
            <line
              className="line level"
              x1={plane.left}
              x2={plane.right}
              y1={y(level.value)}
              y2={y(level.value)}
            />
          )}
          <clipPath id={clip}>
            <rect width={width} height={plane.bottom} />
          </clipPath>
          {lines.toReversed().map((line) => (
            <ChartLine key={line.name} line={line} plane={plane} clip={`url(#${clip})`} />
          ))}
          {at !== null && (
            <line className="cursor" x1={x(at)} x2={x(at)} y1={plane.top} y2={plane.bottom} />
          )}
        </svg>
        {isEmpty && <p className="waiting">{props.waiting}</p>}
        {at !== null && <ChartTip {...props} at={at} plane={plane} />}
      </div>
    </figure>
  );
}

function lay({ lines, level, steps, range }: ChartProps, width: number): Plane {
  const values = [...lines.map((line) => line.points.values), level ? [level.value] : []];
  const yRange = widen(range(values), 5);
  const sides = {
    left: PAD.left,
    right: width - PAD.right,
    top: PAD.top,
    bottom: HEIGHT - PAD.bottom,
  };
  const x = linear([0, Math.max(1, steps)], [sides.left, sides.right]);
  const y = linear(yRange, [sides.bottom, sides.top]);
  return { width, height: HEIGHT, ...sides, yRange, x, y };
}

/** The chart in words, for who cannot see it. */
function tell({ title, lines, level, format }: ChartProps): string {
  const parts = lines.map(({ label, points: { values } }) => {
    const last = values.at(-1);
    if (last === undefined) return `${label}: none yet`;
    return `${label}: ${values.length} points, last ${format(last)}`;
  });
  if (level) parts.push(`${level.label}: ${format(level.value)}`);
  return `${title}. ${parts.join("; ")}. Arrow keys walk along the points.`;
}
