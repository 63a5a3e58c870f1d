/** The jobs: filtered and paged by the address, kept fresh by polling. */
import { useSearchParams } from "react-router";

import { Refused } from "../api/http";
import { useJobs } from "../api/queries";
import { isState, LOOKS } from "../lib/state";
import { useTitle } from "../lib/title";
import { FirstJob } from "../parts/FirstJob";
import { JobsTable } from "../parts/JobsTable";
import { Pager } from "../parts/Pager";
import { StateTabs } from "../parts/StateTabs";

export function JobsPage() {
  const [params] = useSearchParams();
  const asked = params.get("state");
  const state = isState(asked) ? asked : null;
  const after = params.get("after");
  const jobs = useJobs(state, after);
  useTitle("Jobs");

  const page = jobs.data;
  const isFirst = page?.data.length === 0 && state === null && after === null;
  return (
    <>
      <div className="head">
        <h1>Jobs</h1>
        <StateTabs chosen={state} />
      </div>
      {jobs.error instanceof Refused && (
        <p className="problem" role="alert">
          {jobs.error.message}
        </p>
      )}
      {isFirst && <FirstJob />}
      {page?.data.length === 0 && !isFirst && (
        <p className="card empty soft">
          {state ? `No job is ${LOOKS[state].label.toLowerCase()}.` : "No older jobs."}
        </p>
      )}
      {(!page || page.data.length > 0) && (
        <JobsTable jobs={page?.data ?? null} stale={jobs.isPlaceholderData} />
      )}
      {page && (
        <Pager next={page.has_more ? (page.next_cursor ?? null) : null} isPaged={after !== null} />
      )}
    </>
  );
}
