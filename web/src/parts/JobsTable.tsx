/** The jobs as a table; on a phone each row folds into a card. */
import { Link } from "react-router";

import type { JobSummary } from "../api/types";
import { duration, percent, points, words } from "../lib/format";
import { ProgressBar } from "./ProgressBar";
import { StatePill } from "./StatePill";
import { Time } from "./Time";

const PLACEHOLDERS = 6;

/** `jobs` null: still loading, rows of the same height hold the place. */
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
  return (
    <tr data-job={job.id}>
      <td className="at-state">
        <StatePill job={job} />
      </td>
      <th scope="row" className="at-name">
        <Link to={`/jobs/${job.id}`}>{job.name}</Link>
        <small>
          {job.student_architecture}
          {job.methods.length > 0 && ` · ${job.methods.map(words).join(" + ")}`}
        </small>
      </th>
      <td className="at-progress">
        {(job.state === "running" || job.state === "paused") && <ProgressBar job={job} />}
        <small>{standing(job)}</small>
      </td>
      <Accuracy of="Teacher" value={job.teacher_accuracy} live={job.latest["teacher/accuracy"]} />
      <Accuracy of="Student" value={job.student_accuracy} live={job.latest["student/accuracy"]} />
      <Accuracy of="Scratch" value={job.baseline_accuracy} live={job.latest["baseline/accuracy"]} />
      <td className="number at-gain" data-label="Gain">
        {job.gain === null ? <Nothing /> : <Gain value={job.gain} />}
      </td>
      <td className="number at-age">
        <Time iso={job.created_at} />
      </td>
    </tr>
  );
}

/** A measured accuracy, or while there is none the last validation accuracy, marked as such. */
function Accuracy(props: { of: string; value: number | null; live: number | undefined }) {
  const { of, value, live } = props;
  return (
    <td className="number" data-label={of}>
      {value !== null ? (
        percent(value)
      ) : live !== undefined ? (
        <span className="soft" title="On the validation part, so far">
          {percent(live)}
        </span>
      ) : (
        <Nothing />
      )}
    </td>
  );
}

function Gain({ value }: { value: number }) {
  return (
    <span className={value > 0 ? "up" : value < 0 ? "down" : ""} title="Student minus from scratch">
      {points(value)}
    </span>
  );
}

function Nothing() {
  return (
    <span className="faint">
      <span aria-hidden="true">–</span>
      <span className="hidden">none</span>
    </span>
  );
}

function standing(job: JobSummary): string {
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
  return eta ? `${share} · ${duration(eta)} left` : `${share} · ${words(job.phase ?? "starting")}`;
}

function Placeholder() {
  return (
    <tr className="placeholder">
      <td className="at-state">
        <span />
      </td>
      <td className="at-name">
        <span />
      </td>
      <td colSpan={6}>
        <span />
      </td>
    </tr>
  );
}
