/** The step of a chart that mouse, touch or arrow keys point at. */
import { useState, type KeyboardEvent, type PointerEvent } from "react";

import { linear, nearest } from "../../lib/scale";
import type { Line, PlotArea } from "./types";

const KEYS: Record<string, number> = {
  ArrowLeft: -1,
  ArrowRight: 1,
  Home: -Infinity,
  End: Infinity,
};

/** The selected step, always one that has a point, and the handlers that move it. */
export function useCursor(lines: readonly Line[], { left, right }: PlotArea, steps: number) {
  const [pointed, setPointed] = useState<number | null>(null);
  const stops = [...new Set(lines.flatMap((line) => line.points.steps))].sort((a, b) => a - b);
  const at = pointed === null ? null : (stops[nearest(stops, pointed)] ?? null);
  const clear = (): void => setPointed(null);

  const handlers = {
    onPointerMove(event: PointerEvent): void {
      const box = event.currentTarget.getBoundingClientRect();
      setPointed(linear([left, right], [0, steps])(event.clientX - box.left));
    },
    onKeyDown(event: KeyboardEvent): void {
      if (event.key === "Escape") clear();
      const by = KEYS[event.key];
      if (by === undefined || stops.length === 0) return;
      event.preventDefault();
      const from = at === null ? (by > 0 ? -1 : stops.length) : stops.indexOf(at);
      setPointed(stops[Math.min(stops.length - 1, Math.max(0, from + by))] ?? null);
    },
    onPointerLeave: clear,
    onBlur: clear,
  };
  return [at, handlers] as const;
}
