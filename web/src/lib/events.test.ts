import { expect, test } from "vitest";

import type { Job, JobEvent } from "../api/types";
import { metricsOf, newest, withEvents } from "./events";

const JOB = { last_event: 4, phase: "teacher", progress: null, latest: { a: 1 } } as unknown as Job;
const event = (id: number, kind: string, body: object): JobEvent => {
  return { id, kind, attempt: 1, at: "", body: { ...body } };
};
const metrics = (id: number, step: number, values: Record<string, number>): JobEvent =>
  event(id, "metrics", { step, values });

test("a job takes phase, progress and latest values from events that it has not seen", () => {
  const progress = { arm: "student", fraction: 0.5 };
  const job = withEvents(JOB, [
    event(4, "phase", { phase: "seen before" }),
    event(5, "phase", { phase: "training" }),
    event(6, "progress", progress),
    metrics(7, 10, { b: 2 }),
    event(8, "log", { level: "info", message: "hello" }),
  ]);
  expect(job).toEqual({ last_event: 8, phase: "training", progress, latest: { a: 1, b: 2 } });
  expect(withEvents(job, [event(8, "phase", { phase: "old" })])).toBe(job);
});

test("an answer that is older than the pushed events does not set the job back", () => {
  const pushed = { ...JOB, last_event: 6, phase: "training" };
  expect(newest(pushed, { ...JOB, state: "running" })).toMatchObject({
    last_event: 6,
    phase: "training",
    state: "running",
  });
  expect(newest(pushed, { ...JOB, last_event: 7 })).toMatchObject({ phase: "teacher" });
});

test("metrics events become points by metric", () => {
  const events = [metrics(1, 10, { a: 1, b: 2 }), metrics(2, 20, { b: 3 })];
  expect(metricsOf(events).series).toEqual([
    { name: "a", steps: [10], values: [1], downsampled: false },
    { name: "b", steps: [10, 20], values: [2, 3], downsampled: false },
  ]);
});
