/** How far a job is, as a bar; held and ended jobs show where they stopped. */
import type { JobSummary } from "../api/types";
import { percent } from "../lib/format";
import { LOOKS } from "../lib/state";

export function ProgressBar({ job }: { job: JobSummary }) {
  const fraction = job.progress?.fraction ?? 0;
  return (
    <div
      className={`progress tone-${LOOKS[job.state].tone}`}
      role="progressbar"
      aria-label="Progress"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(fraction * 100)}
      aria-valuetext={percent(fraction, 0)}
    >
      <span style={{ transform: `scaleX(${fraction})` }} />
    </div>
  );
}
