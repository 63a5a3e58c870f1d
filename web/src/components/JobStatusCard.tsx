/** What a job is doing: why it waits, how far it is, or why it failed and what to do. */
import type { Failure, Job, Waiting } from "../api/types";
import { clock, count, duration, moment, percent, words } from "../lib/format";
import { phaseLabel } from "../lib/labels";
import { useNow } from "../lib/now";
import { ProgressBar } from "./ProgressBar";

export function JobStatusCard({ job }: { job: Job }) {
  if (job.state === "failed" && job.error) return <Failed error={job.error} />;
  if (job.state === "queued") return <Queued job={job} />;
  if (job.state === "succeeded") return null;
  return <InProgress job={job} />;
}

function Queued({ job }: { job: Job }) {
  return (
    <section className="card job-status" aria-label="Progress">
      <div className="job-status-row">
        <strong>{job.attempt > 0 ? "Waiting for the next attempt" : "Waiting to start"}</strong>
      </div>
      {job.waiting ? (
        <WaitingReason waiting={job.waiting} />
      ) : (
        <p className="soft">The job starts as soon as a worker picks it up.</p>
      )}
    </section>
  );
}

/** The service's reason, how long it has applied, and what to do about it. */
function WaitingReason({ waiting }: { waiting: Waiting }) {
  const now = useNow();
  return (
    <>
      <p>
        {waiting.message}
        <span className="soft">
          {" · for "}
          <time dateTime={waiting.since} title={moment(waiting.since)}>
            {duration((now - Date.parse(waiting.since)) / 1000)}
          </time>
          {waiting.until && ` · until ${clock(waiting.until)}`}
        </span>
      </p>
      <NextStep text={waiting.next_step} />
    </>
  );
}

/** The first line of the message says what happened; the end of the run's log may follow. */
function Failed({ error }: { error: Failure }) {
  const [summary, ...log] = error.message.split("\n");
  return (
    <section className="card job-status failed" aria-label="Failure">
      <div className="job-status-row">
        <strong>{words(error.code)}</strong>
        {error.pointer && (
          <span>
            at <code>{error.pointer}</code> in the spec
          </span>
        )}
      </div>
      <p>{summary}</p>
      {log.length > 0 && <pre tabIndex={0}>{log.join("\n")}</pre>}
      <NextStep text={error.next_step} />
    </section>
  );
}

/** What to do about it; commands and fields stand in backticks. */
function NextStep({ text }: { text: string | null | undefined }) {
  if (!text) return null;
  const parts = text.split("`").map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part));
  return <p className="soft">{parts}</p>;
}

/** A running, paused or cancelled job. */
function InProgress({ job }: { job: Job }) {
  const { progress } = job;
  const isRunning = job.state === "running";
  return (
    <section className="card job-status" aria-label="Progress">
      <div className="job-status-row">
        <strong>{isRunning ? phaseLabel(job.phase ?? "starting") : "stopped"}</strong>
        <span className="percent">{percent(progress?.fraction ?? 0, 0)}</span>
        {isRunning && progress?.eta_s != null && (
          <span className="eta">about {duration(progress.eta_s)} left</span>
        )}
      </div>
      <ProgressBar job={job} />
      {job.waiting && <WaitingReason waiting={job.waiting} />}
      <p className="soft facts">
        {progress ? (
          <>
            {progress.stages > 1 && (
              <span>
                stage {progress.stage + 1} of {progress.stages}
              </span>
            )}
            <span>
              epoch {count(progress.epoch)} of {count(progress.epochs)}
            </span>
            <span>
              step {count(progress.step)} of {count(progress.steps)}
            </span>
            {isRunning && progress.images_per_s !== null && (
              <span>{count(progress.images_per_s)} images/s</span>
            )}
          </>
        ) : (
          <span>
            {isRunning ? "The worker is preparing the run." : "Training had not started."}
          </span>
        )}
      </p>
    </section>
  );
}
