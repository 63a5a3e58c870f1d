/** A job's progress as a bar; a paused or ended job's shows where it stopped. */
import type { JobSummary } from "../api/types";
import { percent } from "../lib/format";

export function ProgressBar({ job }: { job: JobSummary }) {
  const fraction = job.progress?.fraction ?? 0;
  return (
    <div
      className={`progress tone-${job.state}`}
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
