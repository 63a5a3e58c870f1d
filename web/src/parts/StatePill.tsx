/** A state as a word with a glyph of its own: never told by colour alone. */
import type { ReactElement } from "react";

import type { JobSummary } from "../api/types";
import { LOOKS, type Look } from "../lib/state";

const GLYPHS: Record<Look["tone"], ReactElement> = {
  quiet: <circle cx="6" cy="6" r="4.2" strokeDasharray="2.2 2.2" />,
  live: (
    <>
      <circle cx="6" cy="6" r="4.6" opacity="0.3" />
      <path className="turn" d="M6 1.4A4.6 4.6 0 0 1 10.6 6" />
    </>
  ),
  held: <path d="M4.2 2.6v6.8M7.8 2.6v6.8" />,
  good: <path d="M2.2 6.4 4.9 9l5-6" />,
  bad: <path d="M2.8 2.8l6.4 6.4M9.2 2.8 2.8 9.2" />,
  off: <path d="M2.4 6h7.2" />,
};

export function StatePill({ job }: { job: Pick<JobSummary, "state" | "request"> }) {
  const look = LOOKS[job.state];
  const ending = { cancel: "Cancelling", pause: "Pausing" } as const;
  const label = job.request && job.state === "running" ? ending[job.request] : look.label;
  return (
    <span className={`pill tone-${look.tone}`}>
      <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
        {GLYPHS[look.tone]}
      </svg>
      {label}
    </span>
  );
}
