/** Where a job stands, in one card: waiting and why, under way and how far, failed and what to do. */
import type { Failure, Job, Waiting } from "../api/types";
import { advise, adviseWaiting } from "../lib/advice";
import { clock, count, duration, moment, percent, words } from "../lib/format";
import { useNow } from "../lib/now";
import { ProgressBar } from "./ProgressBar";

export function Standing({ job }: { job: Job }) {
  if (job.state === "failed" && job.error) return <Failed error={job.error} />;
  if (job.state === "queued") return <Queued job={job} />;
  if (job.state === "succeeded") return null;
  return <UnderWay job={job} />;
}

function Queued({ job }: { job: Job }) {
  return (
    <section className="card standing" aria-label="Progress">
      <div className="standing-row">
        <strong>{job.attempt > 0 ? "Waiting for another attempt" : "Waiting"}</strong>
      </div>
      {job.waiting ? (
        <Why waiting={job.waiting} />
      ) : (
        <p className="soft">Starts as soon as a worker takes it.</p>
      )}
    </section>
  );
}

/** The reason in the service's words, since when, and what can be done about it. */
function Why({ waiting }: { waiting: Waiting }) {
  const now = useNow();
  const advice = adviseWaiting(waiting.reason);
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
      {advice && <p className="soft">{advice}</p>}
    </>
  );
}

/** The first line says what happened; where the run died without a word, its log's end follows. */
function Failed({ error }: { error: Failure }) {
  const [said, ...log] = error.message.split("\n");
  return (
    <section className="card standing failed" aria-label="Failure">
      <div className="standing-row">
        <strong>{words(error.code)}</strong>
        {error.pointer && (
          <span>
            at <code>{error.pointer}</code> of the spec
          </span>
        )}
      </div>
      <p>{said}</p>
      {log.length > 0 && <pre tabIndex={0}>{log.join("\n")}</pre>}
      <p className="soft">{advise(error.code, error.pointer)}</p>
    </section>
  );
}

/** Phases for people. They are an open set: an unknown one is shown as it is called. */
const PHASES: Record<string, string> = {
  validating: "checking the spec",
  teacher: "measuring the teacher",
  caching: "caching the teacher’s outputs",
  training: "training the student",
  baseline: "training the same student from scratch, to compare",
};

function UnderWay({ job }: { job: Job }) {
  const p = job.progress;
  const isRunning = job.state === "running";
  return (
    <section className="card standing" aria-label="Progress">
      <div className="standing-row">
        <strong>
          {isRunning ? (PHASES[job.phase ?? ""] ?? words(job.phase ?? "starting")) : "stopped"}
        </strong>
        <span className="percent">{percent(p?.fraction ?? 0, 0)}</span>
        {isRunning && p?.eta_s != null && (
          <span className="eta">about {duration(p.eta_s)} left</span>
        )}
      </div>
      <ProgressBar job={job} />
      {job.waiting && <Why waiting={job.waiting} />}
      <p className="soft facts">
        {p ? (
          <>
            {p.stages > 1 && (
              <span>
                stage {p.stage + 1} of {p.stages}
              </span>
            )}
            <span>
              epoch {count(p.epoch)} of {count(p.epochs)}
            </span>
            <span>
              step {count(p.step)} of {count(p.steps)}
            </span>
            {isRunning && p.images_per_s !== null && <span>{count(p.images_per_s)} images/s</span>}
          </>
        ) : (
          <span>{isRunning ? "The worker is getting ready." : "It had not begun to train."}</span>
        )}
      </p>
    </section>
  );
}
