/** The table of jobs; on a narrow screen each row becomes a card. */
import { Link } from "react-router";

import type { JobSummary } from "../api/types";
import { BASELINE_ACCURACY, STUDENT_ACCURACY, TEACHER_ACCURACY } from "../lib/constants";
import { duration, percent, points, words } from "../lib/format";
import { phaseLabel } from "../lib/labels";
import { ProgressBar } from "./ProgressBar";
import { StatePill } from "./StatePill";
import { Time } from "./Time";

const PLACEHOLDERS = 6;

/** While `jobs` is null, placeholder rows of the same height are shown. */
export function JobsTable({ jobs, stale }: { jobs: JobSummary[] | null; stale: boolean }) {
  return (
    <div className="card flush">
      <table className={`jobs${stale ? " stale" : ""}`} aria-busy={jobs === null}>
        <thead>
          <tr>
            <th scope="col">State</th>
            <th scope="col">Job</th>
            <th scope="col">Progress</th>
            <th scope="col" className="number">
              Teacher
            </th>
            <th scope="col" className="number">
              Student
            </th>
            <th scope="col" className="number">
              Scratch
            </th>
            <th scope="col" className="number">
              Gain
            </th>
            <th scope="col" className="number">
              Age
            </th>
          </tr>
        </thead>
        <tbody>
          {jobs
            ? jobs.map((job) => <Row key={job.id} job={job} />)
            : Array.from({ length: PLACEHOLDERS }, (_, i) => <Placeholder key={i} />)}
        </tbody>
      </table>
    </div>
  );
}

function Row({ job }: { job: JobSummary }) {
  const { latest } = job;
  return (
    <tr data-job={job.id}>
      <td className="state-cell">
        <StatePill job={job} />
      </td>
      <th scope="row" className="name-cell">
        <Link to={`/jobs/${job.id}`}>{job.name}</Link>
        <small>
          {job.student_architecture}
          {job.methods.length > 0 && ` · ${job.methods.map(words).join(" + ")}`}
        </small>
      </th>
      <td className="progress-cell">
        {(job.state === "running" || job.state === "paused") && <ProgressBar job={job} />}
        <small>{progressText(job)}</small>
      </td>
      <Accuracy of="Teacher" value={job.teacher_accuracy} live={latest[TEACHER_ACCURACY]} />
      <Accuracy of="Student" value={job.student_accuracy} live={latest[STUDENT_ACCURACY]} />
      <Accuracy of="Scratch" value={job.baseline_accuracy} live={latest[BASELINE_ACCURACY]} />
      <td className="number gain-cell" data-label="Gain">
        {job.gain === null ? <NoValue /> : <Gain value={job.gain} />}
      </td>
      <td className="number age-cell">
        <Time iso={job.created_at} />
      </td>
    </tr>
  );
}

/** The measured accuracy or, until there is one, the last validation accuracy, greyed. */
function Accuracy(props: { of: string; value: number | null; live: number | undefined }) {
  const { of, value, live } = props;
  return (
    <td className="number" data-label={of}>
      {value !== null ? (
        percent(value)
      ) : live !== undefined ? (
        <span className="soft" title="Latest validation accuracy">
          {percent(live)}
        </span>
      ) : (
        <NoValue />
      )}
    </td>
  );
}

function Gain({ value }: { value: number }) {
  return (
    <span
      className={value > 0 ? "up" : value < 0 ? "down" : ""}
      title="Accuracy of the student minus accuracy from scratch"
    >
      {points(value)}
    </span>
  );
}

function NoValue() {
  return (
    <span className="soft">
      <span aria-hidden="true">–</span>
      <span className="hidden">none</span>
    </span>
  );
}

function progressText(job: JobSummary): string {
  const { started_at: from, finished_at: to } = job;
  if (from && to && job.terminal && job.state !== "failed") {
    const taken = duration((Date.parse(to) - Date.parse(from)) / 1000);
    return `${job.state === "succeeded" ? "took" : "after"} ${taken}`;
  }
  if (job.state === "cancelled") return "never started";
  if (job.state === "failed" && job.error) return words(job.error.code);
  if (job.state === "queued") return job.attempt > 0 ? "waiting again" : "waiting";
  const share = percent(job.progress?.fraction ?? 0, 0);
  const eta = job.progress?.eta_s;
  if (job.state !== "running") return `stopped at ${share}`;
  return eta
    ? `${share} · ${duration(eta)} left`
    : `${share} · ${phaseLabel(job.phase ?? "starting")}`;
}

function Placeholder() {
  return (
    <tr className="placeholder">
      <td className="state-cell">
        <span />
      </td>
      <td className="name-cell">
        <span />
      </td>
      <td colSpan={6}>
        <span />
      </td>
    </tr>
  );
}
