/** A chart's legend: each line with its last value and, on request, its best. */
import type { ChartProps } from "./types";

export function Legend({ lines, reference, format, showBest }: ChartProps) {
  return (
    <ul className="legend">
      {lines.map(({ name, label, tone, points }) => {
        const last = points.values.at(-1);
        const best = points.values.length > 1 ? Math.max(...points.values) : undefined;
        return (
          <li key={name} className={`tone-${tone}`}>
            <span className="swatch" aria-hidden="true" />
            {label}
            <b>{last === undefined ? "–" : format(last)}</b>
            {showBest && best !== undefined && best !== last && <small>best {format(best)}</small>}
          </li>
        );
      })}
      {reference && (
        <li className="tone-teacher">
          <span className="swatch dashed" aria-hidden="true" />
          {reference.label}
          <b>{format(reference.value)}</b>
        </li>
      )}
    </ul>
  );
}
