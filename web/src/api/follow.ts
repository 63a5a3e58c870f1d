/** Follows a job by its event stream: pushed events go straight into the query cache. */
import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";

import { merge, type Curves } from "../lib/curves";
import { metricsOf, withEvents } from "../lib/events";
import { getStream } from "./http";
import { CURVES, curvesKey, jobKey, jobPath } from "./queries";
import { readMessages, type Message } from "./sse";
import type { Job, JobEvent } from "./types";

const RETRY_MS = 5_000;

/** Follows the job until it ends, while the tab is visible: browsers limit open connections. */
export function useFollow({ id, terminal }: Job): void {
  const client = useQueryClient();
  const isVisible = useSyncExternalStore(onVisibilityChange, () => !document.hidden);
  useEffect(() => {
    if (terminal || !isVisible) return;
    const controller = new AbortController();
    void followJob(client, id, controller.signal);
    return () => controller.abort();
  }, [client, id, terminal, isVisible]);
}

function onVisibilityChange(listener: () => void): () => void {
  document.addEventListener("visibilitychange", listener);
  return () => document.removeEventListener("visibilitychange", listener);
}

/** Without a stream nothing is lost: the queries poll as soon as no event restarts their timers. */
export async function followJob(
  client: QueryClient,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  let lastId = client.getQueryData<Job>(jobKey(id))?.last_event ?? 0;
  while (!signal.aborted) {
    try {
      const stream = await getStream(`${jobPath(id)}/events`, lastId, signal);
      for await (const messages of readMessages(stream)) {
        const events = messages.filter(isEvent).map(({ data }) => JSON.parse(data) as JobEvent);
        lastId = events.at(-1)?.id ?? lastId;
        push(client, id, events);
        if (messages.some(isEndOfStream)) return refetchJob(client, id);
      }
    } catch {
      // The connection was refused or lost, or the page was left.
    }
    await delay(RETRY_MS, signal);
  }
}

/** The service closes the stream of an ended job with an `end` message; a run's `end` has an id. */
const isEndOfStream = ({ event, id }: Message): boolean => event === "end" && id === null;
const isEvent = ({ id }: Message): boolean => id !== null;

/** Adds the events to the job and its curves. Even without news this restarts their polling timers. */
export function push(client: QueryClient, id: string, events: readonly JobEvent[]): void {
  const job = client.getQueryData<Job>(jobKey(id));
  if (!job || events.length === 0) return;
  const { series } = metricsOf(events);
  for (const group of ["accuracies", "losses"] as const) {
    const added = { series: series.filter(({ name }) => CURVES[group](name)) };
    const filters = { queryKey: curvesKey(id, group), type: "active" } as const;
    client.setQueriesData<Curves>(filters, (curves) => curves && merge(curves, added));
  }
  client.setQueryData<Job>(jobKey(id), withEvents(job, events));
  const fresh = events.filter((event) => event.id > job.last_event);
  if (fresh.some((event) => job.state !== "running" || event.attempt > job.attempt))
    void refetchJob(client, id); // the job has changed its state, which is not an event
}

function refetchJob(client: QueryClient, id: string): Promise<void> {
  return client.invalidateQueries({ queryKey: jobKey(id) }, { cancelRefetch: false });
}

/** Resolves after a while, or as soon as the page is left. */
function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
