/** Curves as they grow: points by metric, merged from one incremental answer after another. */
import type { Metrics } from "../api/types";

export interface Points {
  steps: readonly number[];
  values: readonly number[];
}

export interface Curves {
  byName: ReadonlyMap<string, Points>;
  downsampled: boolean;
}

export const NO_POINTS: Points = { steps: [], values: [] };
export const NO_CURVES: Curves = { byName: new Map(), downsampled: false };

/** The highest step that is already here, or none. */
export function lastStep(curves: Curves): number | null {
  const ends = [...curves.byName.values()].map((points) => points.steps.at(-1) ?? 0);
  return ends.length > 0 ? Math.max(...ends) : null;
}

/** What was known plus an answer's points, which replace those from its first step on. */
export function merge(before: Curves, answer: Metrics): Curves {
  const fresh = answer.series.filter((series) => series.steps.length > 0);
  if (fresh.length === 0) return before;
  const byName = new Map(before.byName);
  for (const { name, steps, values } of fresh) {
    const old = byName.get(name) ?? NO_POINTS;
    const overlap = old.steps.findIndex((step) => step >= (steps[0] as number));
    const end = overlap < 0 ? old.steps.length : overlap;
    byName.set(name, {
      steps: [...old.steps.slice(0, end), ...steps],
      values: [...old.values.slice(0, end), ...values],
    });
  }
  return { byName, downsampled: before.downsampled || fresh.some((series) => series.downsampled) };
}
