import { expect, test } from "vitest";

import type { Metrics } from "../api/types";
import { lastStep, merge, NO_CURVES, type Points } from "./curves";

const answer = (steps: number[], values = steps, downsampled = false): Metrics => ({
  series: [{ name: "student/loss", steps, values, downsampled }],
});
const loss = (...answers: Metrics[]): Points | undefined =>
  answers.reduce(merge, NO_CURVES).byName.get("student/loss");

test("points after the known ones continue the curve", () => {
  expect(loss(answer([0, 10]), answer([20, 30]))?.steps).toEqual([0, 10, 20, 30]);
});

test("a point replaces the one at its step and leaves the later ones", () => {
  const points = loss(answer([0, 10, 20]), answer([10], [7]));
  expect(points).toEqual({ steps: [0, 10, 20], values: [0, 7, 20] });
});

test("points that were fetched before newer ones were pushed find their place", () => {
  expect(loss(answer([30]), answer([10, 20]))?.steps).toEqual([10, 20, 30]);
});

test("curves are known up to where the shortest ends", () => {
  const accuracy = { name: "student/accuracy", steps: [20], values: [1], downsampled: false };
  expect(lastStep(NO_CURVES)).toBeNull();
  expect(lastStep(merge(merge(NO_CURVES, answer([0, 30])), { series: [accuracy] }))).toBe(20);
});

test("without new points the curves stay the same object; downsampling is remembered", () => {
  const downsampled = merge(NO_CURVES, answer([0, 10], [1, 2], true));
  expect(merge(downsampled, answer([]))).toBe(downsampled);
  expect(merge(downsampled, answer([20])).downsampled).toBe(true);
});
