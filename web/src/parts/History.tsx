/** A job's moves in order, and where its time went. */
import { useTransitions } from "../api/queries";
import type { Job, Transition } from "../api/types";
import { duration, words } from "../lib/format";
import { LOOKS } from "../lib/state";
import { Time } from "./Time";

export function History({ job }: { job: Job }) {
  const moves = useTransitions(job);
  const seconds = Object.entries(job.result?.seconds ?? {});
  return (
    <section className="card" aria-labelledby="history-title">
      <h2 id="history-title">History</h2>
      <ol className="timeline">
        {moves.data?.data.map((move, i) => (
          <Move key={i} move={move} />
        ))}
      </ol>
      {seconds.length > 0 && (
        <dl className="phases">
          {seconds.map(([phase, taken]) => (
            <div key={phase}>
              <dt>{words(phase)}</dt>
              <dd>{taken < 9.95 ? `${taken.toFixed(1)} s` : duration(taken)}</dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}

function Move({ move }: { move: Transition }) {
  const look = LOOKS[move.target];
  return (
    <li className={`tone-${look.tone}`}>
      <div>
        <strong>{look.label}</strong>
        {move.attempt > 1 && <span className="soft"> attempt {move.attempt}</span>}
        <span className="soft when">
          <Time iso={move.at} />
        </span>
      </div>
      {move.message && <p className="soft">{move.message}</p>}
    </li>
  );
}
