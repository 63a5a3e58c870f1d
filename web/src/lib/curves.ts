/** Curves that grow: points by metric, merged from fetched answers and pushed events. */
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

/** The step up to which all curves are known, or null if there are none. */
export function lastStep(curves: Curves): number | null {
  const ends = [...curves.byName.values()].map((points) => points.steps.at(-1) ?? 0);
  return ends.length > 0 ? Math.min(...ends) : null;
}

/** Adds points to curves; a new point replaces an old one at the same step. */
export function merge(before: Curves, { series }: Metrics): Curves {
  const added = series.filter((one) => one.steps.length > 0);
  if (added.length === 0) return before;
  const byName = new Map(before.byName);
  for (const one of added) byName.set(one.name, union(byName.get(one.name) ?? NO_POINTS, one));
  return { byName, downsampled: before.downsampled || added.some((one) => one.downsampled) };
}

function union(old: Points, added: Points): Points {
  const steps = [...old.steps, ...added.steps];
  const values = [...old.values, ...added.values];
  if (steps.every((step, i) => i === 0 || step > (steps[i - 1] as number)))
    return { steps, values };
  const byStep = new Map(steps.map((step, i) => [step, values[i] as number]));
  const sorted = [...byStep].sort(([a], [b]) => a - b);
  return { steps: sorted.map(([step]) => step), values: sorted.map(([, value]) => value) };
}
