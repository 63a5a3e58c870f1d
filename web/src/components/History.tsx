/** A job's state changes in order, and the time each phase took. */
import { useTransitions } from "../api/queries";
import type { Job, Transition } from "../api/types";
import { duration } from "../lib/format";
import { phaseLabel, STATE_LABELS } from "../lib/labels";
import { Time } from "./Time";

export function History({ job }: { job: Job }) {
  const transitions = useTransitions(job);
  const seconds = Object.entries(job.result?.seconds ?? {});
  return (
    <section className="card" aria-labelledby="history-title">
      <h2 id="history-title">History</h2>
      <ol className="timeline">
        {transitions.data?.data.map((transition, i) => (
          <Entry key={i} transition={transition} />
        ))}
      </ol>
      {seconds.length > 0 && (
        <dl className="phase-times">
          {seconds.map(([phase, taken]) => (
            <div key={phase}>
              <dt>{phaseLabel(phase)}</dt>
              <dd>{taken < 9.95 ? `${taken.toFixed(1)} s` : duration(taken)}</dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}

function Entry({ transition: { target, attempt, at, message } }: { transition: Transition }) {
  return (
    <li className={`tone-${target}`}>
      <div>
        <strong>{STATE_LABELS[target]}</strong>
        {attempt > 1 && <span className="soft"> attempt {attempt}</span>}
        <span className="soft when">
          <Time iso={at} />
        </span>
      </div>
      {message && <p className="soft">{message}</p>}
    </li>
  );
}
