import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { environmentManager, QueryClient, QueryObserver } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { NO_CURVES, type Curves } from "../lib/curves";
import { followJob, push } from "./follow";
import { curvesKey, jobKey } from "./queries";
import type { Job, JobEvent } from "./types";

const JOB = { id: "j", state: "running", attempt: 1, last_event: 0, latest: {} } as Job;
const fetched = vi.fn<typeof fetch>();
const realFetch = globalThis.fetch;
let client: QueryClient;
let refetched: number;
let stop: AbortController;

const metrics = (id: number, step: number, attempt = 1): JobEvent => {
  const values = { "student/loss": step / 10, "student/accuracy": 0.5, "student/learning_rate": 1 };
  return { id, kind: "metrics", attempt, at: "", body: { step, values } };
};
const wire = (event: JobEvent): string =>
  `id: ${event.id}\r\nevent: ${event.kind}\r\ndata: ${JSON.stringify(event)}\r\n\r\n`;
const END = 'event: end\r\ndata: {"state": "succeeded"}\r\n\r\n';
const curve = (group: "losses" | "accuracies") =>
  client.getQueryData<Curves>([...curvesKey("j", group), []])?.byName;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", fetched.mockReset());
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  environmentManager.setIsServer(() => false); // there is no window, yet timers are wanted
  client = new QueryClient();
  client.mount();
  stop = new AbortController();
  refetched = 0;
  // What the page has: a job that is polled where nothing is pushed, and its curves.
  for (const group of ["losses", "accuracies"] as const)
    watch([...curvesKey("j", group), []], NO_CURVES);
  watch(jobKey("j"), JOB, () => void refetched++);
});

afterEach(() => {
  stop.abort();
  client.clear();
  vi.useRealTimers();
});

function watch<T>(queryKey: readonly unknown[], initialData: T, onFetch = (): void => {}): void {
  const queryFn = (): T => {
    onFetch();
    return client.getQueryData<T>(queryKey) as T;
  };
  const options = { queryKey, queryFn, initialData, staleTime: Infinity, refetchInterval: 2_000 };
  new QueryObserver(client, { ...options, refetchIntervalInBackground: true }).subscribe(() => {});
}

test("pushed points are appended to the curve of their group, and nothing is fetched", async () => {
  push(client, "j", [metrics(1, 10)]);
  push(client, "j", [metrics(2, 20)]);
  expect(curve("losses")?.get("student/loss")).toEqual({ steps: [10, 20], values: [1, 2] });
  expect([...(curve("losses")?.keys() ?? [])]).toEqual(["student/loss"]);
  expect([...(curve("accuracies")?.keys() ?? [])]).toEqual(["student/accuracy"]);
  expect(client.getQueryData<Job>(jobKey("j"))).toMatchObject({
    last_event: 2,
    latest: { "student/loss": 2 },
  });
  await vi.advanceTimersByTimeAsync(0);
  expect(refetched).toBe(0);
});

test("the job is polled only where nothing has been pushed for a while", async () => {
  for (let id = 1; id <= 10; id++) {
    push(client, "j", [metrics(id, id)]);
    await vi.advanceTimersByTimeAsync(1_500);
  }
  expect(refetched).toBe(0);
  await vi.advanceTimersByTimeAsync(4_000);
  expect(refetched).toBe(2);
});

test("an event of a new attempt, or of a job that was not running, means that the state changed", async () => {
  push(client, "j", [metrics(1, 10, 2)]);
  await vi.advanceTimersByTimeAsync(0);
  expect(refetched).toBe(1);
  client.setQueryData(jobKey("j"), { ...JOB, state: "queued" });
  push(client, "j", [metrics(2, 20)]);
  await vi.advanceTimersByTimeAsync(0);
  expect(refetched).toBe(2);
});

test("a lost stream goes on after its last event; the end of the job refetches it", async () => {
  fetched.mockResolvedValueOnce(new Response(wire(metrics(1, 10)) + wire(metrics(2, 20))));
  fetched.mockRejectedValueOnce(new TypeError("Failed to fetch"));
  fetched.mockResolvedValueOnce(new Response(wire(metrics(3, 30)) + END));
  const done = followJob(client, "j", stop.signal);
  await vi.advanceTimersByTimeAsync(10_000);
  await done;
  const resumedAfter = fetched.mock.calls.map(([, init]) =>
    new Headers(init?.headers).get("Last-Event-ID"),
  );
  expect(resumedAfter).toEqual(["0", "2", "2"]);
  expect(curve("losses")?.get("student/loss")?.steps).toEqual([10, 20, 30]);
  expect(refetched).toBeGreaterThan(0);
});

test("leaving the page closes the connection", async () => {
  vi.useRealTimers();
  const server = createServer((_, response) => void response.write(wire(metrics(1, 10)))).listen(0);
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  fetched.mockImplementation((path, init) => realFetch(`${origin}${path}`, init));
  const closed = new Promise((resolve) => {
    server.on("request", (_, response) => response.on("close", resolve));
  });

  const done = followJob(client, "j", stop.signal);
  await vi.waitFor(() => expect(curve("losses")?.size).toBe(1));
  stop.abort();
  await Promise.all([closed, done]);
  expect(fetched).toHaveBeenCalledTimes(1);
  server.close();
});
