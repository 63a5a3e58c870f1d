/** One job: where it stands, its curves, what it is worth and what it left. */
import { Link, useParams } from "react-router";

import { Refused } from "../api/http";
import { useJob } from "../api/queries";
import type { Job } from "../api/types";
import { percent, words } from "../lib/format";
import { LOOKS } from "../lib/state";
import { useTitle } from "../lib/title";
import { Actions } from "../parts/Actions";
import { Artifacts } from "../parts/Artifacts";
import { Copy } from "../parts/Copy";
import { Headline } from "../parts/Headline";
import { History } from "../parts/History";
import { JobCharts } from "../parts/JobCharts";
import { ResultTable } from "../parts/ResultTable";
import { Spec } from "../parts/Spec";
import { Standing } from "../parts/Standing";
import { StatePill } from "../parts/StatePill";
import { Time } from "../parts/Time";
import { Missing } from "./Missing";

export function JobPage() {
  const { id = "" } = useParams();
  const job = useJob(id);
  if (job.data) return <Shown key={id} job={job.data} />;
  if (job.error instanceof Refused) {
    if (job.error.status === 404) return <Missing what="job" />;
    return (
      <p className="problem" role="alert">
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

function Shown({ job }: { job: Job }) {
  useTitle(`${standing(job)} · ${job.name}`);
  return (
    <article className="job">
      <Heading job={job} />
      <Standing job={job} />
      {job.result && <Headline result={job.result} />}
      {job.task === "distill" && <JobCharts job={job} />}
      {job.result && <ResultTable result={job.result} />}
      {job.state === "succeeded" && <Artifacts job={job} />}
      <div className="pair">
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
        <Actions job={job} />
      </div>
      <p className="soft facts">
        <Copy text={job.id} what="job id" />
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

function standing(job: Job): string {
  if (job.state !== "running") return LOOKS[job.state].label;
  return percent(job.progress?.fraction ?? 0, 0);
}
