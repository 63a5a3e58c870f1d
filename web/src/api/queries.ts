/** What the pages ask for, and how often: fast while a job moves, slow when nothing can change. */
import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { lastStep, merge, NO_CURVES, type Curves } from "../lib/curves";
import { get, post } from "./http";
import type { ArtifactPage, Job, JobPage, JobSummary, Metrics, TransitionPage } from "./types";

const MOVING_MS = 2_000;
const WATCHED_MS = 1_000;
const STILL_MS = 10_000;
const PAGE_ROWS = 25;
const POINTS_MAX = 500;
export const LOSS = "student/loss";

export type Verb = "cancel" | "pause" | "resume" | "retry";

const isMoving = (job: JobSummary): boolean => job.state === "running" || job.state === "queued";
const at = (id: string): string => `/v1/jobs/${encodeURIComponent(id)}`;

/** One page of jobs, newest first. The page before stays on screen until the next one is here. */
export function useJobs(state: string | null, after: string | null) {
  const query = new URLSearchParams({ limit: String(PAGE_ROWS) });
  if (state) query.set("state", state);
  if (after) query.set("after", after);
  return useQuery({
    queryKey: ["jobs", state, after],
    queryFn: ({ signal }) => get<JobPage>(`/v1/jobs?${query}`, signal),
    refetchInterval: (q) => (q.state.data?.data.some(isMoving) ? MOVING_MS : STILL_MS),
    placeholderData: keepPreviousData,
  });
}

export function useJob(id: string) {
  return useQuery({
    queryKey: ["job", id],
    queryFn: ({ signal }) => get<Job>(at(id), signal),
    refetchInterval: (q) => (q.state.data && !isMoving(q.state.data) ? STILL_MS : WATCHED_MS),
  });
}

/** Validation accuracies: one point an epoch, read whole; unchanged ones cost a 304. */
export function useAccuracies(job: Job) {
  const names = Object.keys(job.latest).filter((name) => name.endsWith("/accuracy"));
  return useQuery({
    queryKey: ["accuracies", job.id, names, job.terminal],
    queryFn: async ({ signal }) => merge(NO_CURVES, await getMetrics(job, names, null, signal)),
    enabled: names.length > 0,
    refetchInterval: job.state === "running" ? WATCHED_MS : false,
    placeholderData: keepPreviousData,
  });
}

/**
 * The terms of the student's loss: they share their steps, so only steps after the last known one
 * are asked for. A new attempt may repeat steps and starts from nothing; so does the end, because
 * many small answers together are longer than one that the API has thinned.
 */
export function useLosses(job: Job) {
  const client = useQueryClient();
  const names = Object.keys(job.latest).filter((name) => name.startsWith(LOSS));
  const queryKey = ["losses", job.id, names, job.attempt, job.terminal];
  return useQuery({
    queryKey,
    queryFn: async ({ signal }) => {
      const known = client.getQueryData<Curves>(queryKey) ?? NO_CURVES;
      return merge(known, await getMetrics(job, names, lastStep(known), signal));
    },
    enabled: names.length > 0,
    refetchInterval: job.state === "running" ? WATCHED_MS : false,
    structuralSharing: false,
    placeholderData: keepPreviousData,
  });
}

function getMetrics(job: Job, names: string[], after: number | null, signal: AbortSignal) {
  const query = new URLSearchParams({ keys: names.join(","), max_points: String(POINTS_MAX) });
  if (after !== null) query.set("after_step", String(after));
  return get<Metrics>(`${at(job.id)}/metrics?${query}`, signal);
}

/** Files appear with success and never change after. */
export function useArtifacts(job: Job) {
  return useQuery({
    queryKey: ["artifacts", job.id],
    queryFn: ({ signal }) => get<ArtifactPage>(`${at(job.id)}/artifacts`, signal),
    enabled: job.state === "succeeded",
    staleTime: Infinity,
  });
}

/** The job's moves so far; the key changes with every move, so there is nothing to poll. */
export function useTransitions(job: Job) {
  return useQuery({
    queryKey: ["transitions", job.id, job.state, job.attempt, job.request],
    queryFn: ({ signal }) => get<TransitionPage>(`${at(job.id)}/transitions`, signal),
    placeholderData: keepPreviousData,
  });
}

export function useVerb(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (verb: Verb) => post<Job>(`${at(id)}/${verb}`),
    onSettled: () => client.invalidateQueries({ queryKey: ["job", id] }),
  });
}
