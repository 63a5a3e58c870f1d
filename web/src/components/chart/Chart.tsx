/** A line chart over epochs in plain SVG, with a cursor for mouse, touch and arrow keys. */
import { useId } from "react";

import { linear, widen } from "../../lib/scale";
import { useWidth } from "../../lib/size";
import { Axes } from "./Axes";
import { Legend } from "./Legend";
import { LinePath } from "./LinePath";
import { Tooltip } from "./Tooltip";
import type { ChartProps, PlotArea } from "./types";
import { useCursor } from "./useCursor";

const HEIGHT = 270;
const PAD = { top: 14, right: 18, bottom: 28, left: 52 };

export function Chart(props: ChartProps) {
  const { lines, reference } = props;
  const [box, width] = useWidth<HTMLDivElement>(600);
  const area = plotArea(props, width);
  const [at, cursor] = useCursor(lines, area, props.steps);
  const isEmpty = lines.every((line) => line.points.steps.length === 0);
  const { x, y } = area;
  const clip = useId();

  return (
    <figure className="chart">
      <figcaption>
        <h2>{props.title}</h2>
        <Legend {...props} />
      </figcaption>
      <div
        ref={box}
        className="plot"
        tabIndex={0}
        role="img"
        aria-label={describe(props)}
        {...cursor}
      >
        <svg width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`} aria-hidden="true">
          <Axes {...props} area={area} isEmpty={isEmpty && !reference} />
          {reference && (
            <line
              className="line reference"
              x1={area.left}
              x2={area.right}
              y1={y(reference.value)}
              y2={y(reference.value)}
            />
          )}
          <clipPath id={clip}>
            <rect width={width} height={area.bottom} />
          </clipPath>
          {lines.toReversed().map((line) => (
            <LinePath key={line.name} line={line} area={area} clip={`url(#${clip})`} />
          ))}
          {at !== null && (
            <line className="cursor" x1={x(at)} x2={x(at)} y1={area.top} y2={area.bottom} />
          )}
        </svg>
        {isEmpty && <p className="plot-empty">{props.emptyText}</p>}
        {at !== null && <Tooltip {...props} at={at} area={area} />}
      </div>
    </figure>
  );
}

function plotArea({ lines, reference, steps, range }: ChartProps, width: number): PlotArea {
  const values = [...lines.map((line) => line.points.values), reference ? [reference.value] : []];
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

/** The chart in words, for screen readers. */
function describe({ title, lines, reference, format }: ChartProps): string {
  const facts = lines.map(({ label, points: { values } }) => {
    const last = values.at(-1);
    if (last === undefined) return `${label}: no points yet`;
    return `${label}: ${values.length} points, last ${format(last)}`;
  });
  if (reference) facts.push(`${reference.label}: ${format(reference.value)}`);
  return `${title}. ${facts.join("; ")}. Use the arrow keys to move between points.`;
}
