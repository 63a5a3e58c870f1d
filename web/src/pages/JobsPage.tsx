/** The list of jobs, filtered and paged by the URL and refreshed by polling. */
import { useSearchParams } from "react-router";

import { ApiError } from "../api/http";
import { useJobs } from "../api/queries";
import { STATE_LABELS } from "../lib/labels";
import { isState } from "../lib/state";
import { useTitle } from "../lib/title";
import { FirstJob } from "../components/FirstJob";
import { JobsTable } from "../components/JobsTable";
import { Pager } from "../components/Pager";
import { StateTabs } from "../components/StateTabs";

export function JobsPage() {
  const [params] = useSearchParams();
  const requested = params.get("state");
  const state = isState(requested) ? requested : null;
  const after = params.get("after");
  const jobs = useJobs(state, after);
  useTitle("Jobs");

  const page = jobs.data;
  const isEmpty = page?.data.length === 0;
  const isNew = isEmpty && state === null && after === null;
  return (
    <>
      <div className="page-head">
        <h1>Jobs</h1>
        <StateTabs selected={state} />
      </div>
      {jobs.error instanceof ApiError && (
        <p className="error-box" role="alert">
          {jobs.error.message}
        </p>
      )}
      {isNew && <FirstJob />}
      {isEmpty && !isNew && (
        <p className="card empty soft">
          {state ? `No ${STATE_LABELS[state].toLowerCase()} jobs.` : "No older jobs."}
        </p>
      )}
      {!isEmpty && <JobsTable jobs={page?.data ?? null} stale={jobs.isPlaceholderData} />}
      {page && (
        <Pager next={page.has_more ? (page.next_cursor ?? null) : null} isFirst={after === null} />
      )}
    </>
  );
}
