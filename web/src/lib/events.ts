/** Applies pushed events to what the page knows of a job, as the service does to its own row. */
import type { Job, JobEvent, Metrics, Progress } from "../api/types";

/** The job with the phase, progress and latest values of `events`; those it has seen are skipped. */
export function withEvents(job: Job, events: readonly JobEvent[]): Job {
  const fresh = events.filter((event) => event.id > job.last_event);
  if (fresh.length === 0) return job;
  const next = { ...job, latest: { ...job.latest } };
  for (const { id, kind, body } of fresh) {
    next.last_event = id;
    if (kind === "phase") next.phase = String(body["phase"]);
    if (kind === "progress") next.progress = body as Progress;
    if (kind === "metrics") Object.assign(next.latest, body["values"]);
  }
  return next;
}

/** A fetched job, with the live fields of the known one where more events were pushed meanwhile. */
export function newest(known: Job | undefined, fetched: Job): Job {
  if (!known || known.last_event <= fetched.last_event) return fetched;
  const { last_event, phase, progress, latest } = known;
  return { ...fetched, last_event, phase, progress, latest };
}

/** The points of all metrics events, by metric. */
export function metricsOf(events: readonly JobEvent[]): Metrics {
  const byName = new Map<string, { steps: number[]; values: number[] }>();
  for (const { kind, body } of events) {
    if (kind !== "metrics") continue;
    for (const [name, value] of Object.entries(body["values"] as Record<string, number>)) {
      const points = byName.get(name) ?? { steps: [], values: [] };
      points.steps.push(body["step"] as number);
      points.values.push(value);
      byName.set(name, points);
    }
  }
  return { series: [...byName].map(([name, points]) => ({ name, ...points, downsampled: false })) };
}
