import { expect, test } from "vitest";

import { decimals, linear, nearest, ticks, widen } from "./scale";

test("ticks are round, inside the range, and integers on request", () => {
  expect(ticks([0, 12.3], 5)).toEqual([0, 2.5, 5, 7.5, 10]);
  expect(ticks([0, 3], 8, true)).toEqual([0, 1, 2, 3]);
  expect(ticks([0.82, 0.99], 5)).toEqual([0.85, 0.9, 0.95]);
});

test("a range is extended to its ticks, also one of a single value", () => {
  expect(widen([0.53, 0.981], 5)).toEqual([0.5, 1]);
  const [low, high] = widen([0.9, 0.9], 5);
  expect(low).toBeLessThan(0.9);
  expect(high).toBeGreaterThan(0.9);
});

test("the nearest step is found before, between and after the known ones", () => {
  expect([-5, 4, 6, 99].map((step) => nearest([0, 10, 20], step))).toEqual([0, 0, 1, 2]);
  expect(nearest([], 5)).toBe(0);
});

test("labels have as many decimals as distinguish the ticks", () => {
  expect(
    [
      [0, 2.5],
      [0, 0.05],
      [0, 10],
      [0, 1e-7],
    ].map(decimals),
  ).toEqual([1, 2, 0, 7]);
  expect(linear([0, 10], [100, 0])(2.5)).toBe(75);
});
