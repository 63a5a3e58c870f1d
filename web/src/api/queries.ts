/** What the pages fetch, and how often. A page that follows a job polls only while nothing is pushed. */
import {
  keepPreviousData,
  useMutation,
  useQuery,
  useQueryClient,
  type QueryClient,
} from "@tanstack/react-query";

import { STUDENT_LOSS } from "../lib/constants";
import { lastStep, merge, NO_CURVES, type Curves } from "../lib/curves";
import { newest } from "../lib/events";
import type { Action } from "../lib/state";
import { get, post } from "./http";
import type { ArtifactPage, Job, JobPage, JobSummary, Metrics, TransitionPage } from "./types";

/** Restarted by every pushed event, so that it elapses only where the stream is silent or lost. */
const ACTIVE_MS = 2_000;
const IDLE_MS = 10_000;
const PAGE_ROWS = 25;
const POINTS_MAX = 500;

/** The two groups of curves: the terms of a loss share their steps, accuracies come once an epoch. */
export const CURVES = {
  accuracies: (name: string): boolean => name.endsWith("/accuracy"),
  losses: (name: string): boolean => name.startsWith(STUDENT_LOSS),
};

const isActive = (job: JobSummary): boolean => job.state === "running" || job.state === "queued";

export const jobPath = (id: string): string => `/v1/jobs/${encodeURIComponent(id)}`;
export const jobKey = (id: string) => ["job", id] as const;
export const curvesKey = (id: string, group: keyof typeof CURVES) => ["curves", id, group] as const;

/** One page of jobs, newest first. The previous page stays visible until the next one is loaded. */
export function useJobs(state: string | null, after: string | null) {
  const query = new URLSearchParams({ limit: String(PAGE_ROWS) });
  if (state) query.set("state", state);
  if (after) query.set("after", after);
  return useQuery({
    queryKey: ["jobs", state, after],
    queryFn: ({ signal }) => get<JobPage>(`/v1/jobs?${query}`, signal),
    refetchInterval: (q) => (q.state.data?.data.some(isActive) ? ACTIVE_MS : IDLE_MS),
    placeholderData: keepPreviousData,
  });
}

export function useJob(id: string) {
  const client = useQueryClient();
  const queryKey = jobKey(id);
  return useQuery({
    queryKey,
    queryFn: async ({ signal }) => {
      const fetched = await get<Job>(jobPath(id), signal);
      return newest(client.getQueryData<Job>(queryKey), fetched);
    },
    refetchInterval: (q) => (q.state.data && !isActive(q.state.data) ? IDLE_MS : ACTIVE_MS),
  });
}

export const useAccuracies = (job: Job) => useCurves(job, "accuracies");
export const useLosses = (job: Job) => useCurves(job, "losses");

/**
 * Curves start from nothing with a new attempt, which may repeat steps, and once more at the end: by
 * then pushed points have made them denser than one answer of the API.
 */
function useCurves(job: Job, group: keyof typeof CURVES) {
  const client = useQueryClient();
  const names = Object.keys(job.latest).filter(CURVES[group]);
  const queryKey = [...curvesKey(job.id, group), names, job.attempt, job.terminal];
  return useQuery({
    queryKey,
    queryFn: ({ signal }) => {
      const known = client.getQueryData<Curves>(queryKey) ?? NO_CURVES;
      return fetchCurves(client, job.id, names, known, signal);
    },
    enabled: names.length > 0,
    refetchInterval: job.state === "running" ? ACTIVE_MS : false,
    structuralSharing: false,
    placeholderData: keepPreviousData,
  });
}

/** The known curves and what the API has beyond them. */
export async function fetchCurves(
  client: QueryClient,
  id: string,
  names: readonly string[],
  known: Curves,
  signal: AbortSignal,
): Promise<Curves> {
  const lastEvent = (): number | undefined => client.getQueryData<Job>(jobKey(id))?.last_event;
  let curves = known;
  let before: number | undefined;
  do {
    before = lastEvent();
    const query = new URLSearchParams({ keys: names.join(","), max_points: String(POINTS_MAX) });
    const after = lastStep(curves);
    if (after !== null) query.set("after_step", String(after));
    curves = merge(curves, await get<Metrics>(`${jobPath(id)}/metrics?${query}`, signal));
  } while (lastEvent() !== before); // events were pushed meanwhile: their points may be missing
  return curves;
}

/** Artifacts appear when the job succeeds and never change. */
export function useArtifacts(job: Job) {
  return useQuery({
    queryKey: ["artifacts", job.id],
    queryFn: ({ signal }) => get<ArtifactPage>(`${jobPath(job.id)}/artifacts`, signal),
    enabled: job.state === "succeeded",
    staleTime: Infinity,
  });
}

/** State changes so far. Each one changes the query key, so there is nothing to poll. */
export function useTransitions(job: Job) {
  return useQuery({
    queryKey: ["transitions", job.id, job.state, job.attempt, job.request],
    queryFn: ({ signal }) => get<TransitionPage>(`${jobPath(job.id)}/transitions`, signal),
    placeholderData: keepPreviousData,
  });
}

export function useJobAction(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (action: Action) => post<Job>(`${jobPath(id)}/${action}`),
    onSettled: () => client.invalidateQueries({ queryKey: jobKey(id) }),
  });
}
