/** Which line is which, with its last value and, where it matters, its best. */
import type { ChartProps } from "./Chart";

export function ChartLegend({ lines, level, format, best }: ChartProps) {
  return (
    <ul className="legend">
      {lines.map(({ name, label, tone, points }) => {
        const last = points.values.at(-1);
        const top = points.values.length > 1 ? Math.max(...points.values) : undefined;
        return (
          <li key={name} className={`tone-${tone}`}>
            <span className="swatch" aria-hidden="true" />
            {label}
            <b>{last === undefined ? "–" : format(last)}</b>
            {best && top !== undefined && top !== last && <small>best {format(top)}</small>}
          </li>
        );
      })}
      {level && (
        <li className="tone-teacher">
          <span className="swatch dashed" aria-hidden="true" />
          {level.label}
          <b>{format(level.value)}</b>
        </li>
      )}
    </ul>
  );
}
