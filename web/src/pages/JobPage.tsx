/** One job: its status, curves, result, files, history and spec. */
import { Link, useParams } from "react-router";

import { ApiError } from "../api/http";
import { useFollow } from "../api/follow";
import { useJob } from "../api/queries";
import type { Job } from "../api/types";
import { percent, words } from "../lib/format";
import { STATE_LABELS } from "../lib/labels";
import { useTitle } from "../lib/title";
import { JobActions } from "../components/JobActions";
import { Artifacts } from "../components/Artifacts";
import { CopyButton } from "../components/CopyButton";
import { ResultSummary } from "../components/ResultSummary";
import { History } from "../components/History";
import { JobCharts } from "../components/JobCharts";
import { ResultTable } from "../components/ResultTable";
import { Spec } from "../components/Spec";
import { JobStatusCard } from "../components/JobStatusCard";
import { StatePill } from "../components/StatePill";
import { Time } from "../components/Time";
import { NotFound } from "./NotFound";

export function JobPage() {
  const { id = "" } = useParams();
  const job = useJob(id);
  if (job.data) return <JobDetails key={id} job={job.data} />;
  if (job.error instanceof ApiError) {
    if (job.error.status === 404) return <NotFound what="job" />;
    return (
      <p className="error-box" role="alert">
        {job.error.message}
      </p>
    );
  }
  return (
    <p className="loading" role="status">
      Loading…
    </p>
  );
}

function JobDetails({ job }: { job: Job }) {
  useFollow(job);
  useTitle(`${statusText(job)} · ${job.name}`);
  return (
    <article className="job">
      <Heading job={job} />
      <JobStatusCard job={job} />
      {job.result && <ResultSummary result={job.result} />}
      {job.task === "distill" && <JobCharts job={job} />}
      {job.result && <ResultTable result={job.result} />}
      {job.state === "succeeded" && <Artifacts job={job} />}
      <div className="two-columns">
        <History job={job} />
        <Spec job={job} />
      </div>
    </article>
  );
}

function Heading({ job }: { job: Job }) {
  return (
    <header className="job-head">
      <Link to="/" className="back">
        ← Jobs
      </Link>
      <div className="job-title">
        <h1>{job.name}</h1>
        <span aria-live="polite">
          <StatePill job={job} />
        </span>
        <JobActions job={job} />
      </div>
      <p className="soft facts">
        <CopyButton text={job.id} what="job id" />
        {job.student_architecture && <span>{job.student_architecture}</span>}
        {job.methods.length > 0 && <span>{job.methods.map(words).join(" + ")}</span>}
        {job.attempt > 1 && <span>attempt {job.attempt}</span>}
        {job.worker && job.state === "running" && <span>on {job.worker}</span>}
        <span>
          submitted <Time iso={job.created_at} />
        </span>
      </p>
    </header>
  );
}

function statusText(job: Job): string {
  if (job.state !== "running") return STATE_LABELS[job.state];
  return percent(job.progress?.fraction ?? 0, 0);
}
