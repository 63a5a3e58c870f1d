/** A job's state as a word with its own icon, so that colour alone never carries the meaning. */
import type { ReactElement } from "react";

import type { JobSummary, State } from "../api/types";
import { STATE_LABELS } from "../lib/labels";

const ICONS: Record<State, ReactElement> = {
  queued: <circle cx="6" cy="6" r="4.2" strokeDasharray="2.2 2.2" />,
  running: (
    <>
      <circle cx="6" cy="6" r="4.6" opacity="0.3" />
      <path className="spinner-arc" d="M6 1.4A4.6 4.6 0 0 1 10.6 6" />
    </>
  ),
  paused: <path d="M4.2 2.6v6.8M7.8 2.6v6.8" />,
  succeeded: <path d="M2.2 6.4 4.9 9l5-6" />,
  failed: <path d="M2.8 2.8l6.4 6.4M9.2 2.8 2.8 9.2" />,
  cancelled: <path d="M2.4 6h7.2" />,
};

const REQUEST_LABELS = { cancel: "Cancelling", pause: "Pausing" } as const;

export function StatePill({ job }: { job: Pick<JobSummary, "state" | "request"> }) {
  const { state, request } = job;
  return (
    <span className={`pill tone-${state}`}>
      <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
        {ICONS[state]}
      </svg>
      {request && state === "running" ? REQUEST_LABELS[request] : STATE_LABELS[state]}
    </span>
  );
}
