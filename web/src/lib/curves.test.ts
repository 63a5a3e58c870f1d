import { expect, test } from "vitest";

import type { Metrics } from "../api/types";
import { lastStep, merge, NO_CURVES } from "./curves";

const answer = (steps: number[], values = steps, downsampled = false): Metrics => ({
  series: [{ name: "student/loss", steps, values, downsampled }],
});

test("an incremental answer goes on where the curve ended", () => {
  const first = merge(NO_CURVES, answer([0, 10]));
  expect(lastStep(NO_CURVES)).toBeNull();
  expect(lastStep(first)).toBe(10);
  expect(merge(first, answer([20, 30])).byName.get("student/loss")?.steps).toEqual([0, 10, 20, 30]);
});

test("an attempt that repeats steps replaces their points instead of doubling them", () => {
  const merged = merge(merge(NO_CURVES, answer([0, 10, 20])), answer([10, 20], [7, 8]));
  expect(merged.byName.get("student/loss")).toEqual({ steps: [0, 10, 20], values: [0, 7, 8] });
});

test("nothing new leaves the very same object, and thinning is remembered", () => {
  const thinned = merge(NO_CURVES, answer([0, 10], [1, 2], true));
  expect(merge(thinned, answer([]))).toBe(thinned);
  expect(merge(thinned, answer([20])).downsampled).toBe(true);
});
