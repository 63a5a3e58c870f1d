/** What may be asked of a job in its state; cancelling is asked twice. */
import { useRef } from "react";

import { useVerb, type Verb } from "../api/queries";
import type { Job } from "../api/types";
import { VERBS } from "../lib/state";

const LABELS: Record<Verb, string> = {
  cancel: "Cancel job",
  pause: "Pause",
  resume: "Resume",
  retry: "Retry",
};

export function Actions({ job }: { job: Job }) {
  const verb = useVerb(job.id);
  const dialog = useRef<HTMLDialogElement>(null);
  const isBusy = (one: Verb): boolean =>
    verb.isPending || (job.request === "cancel" && !job.terminal) || job.request === one;

  return (
    <div className="actions">
      {VERBS[job.state].map((one) => (
        <button
          key={one}
          type="button"
          className={`button${one === "cancel" ? " risky" : ""}`}
          disabled={isBusy(one)}
          onClick={() => (one === "cancel" ? dialog.current?.showModal() : verb.mutate(one))}
        >
          {LABELS[one]}
        </button>
      ))}
      {verb.error && (
        <p className="wrong" role="alert">
          {verb.error.message}
        </p>
      )}
      <dialog ref={dialog} aria-labelledby="cancel-title">
        <form method="dialog">
          <h2 id="cancel-title">Cancel this job?</h2>
          <p className="soft">
            It stops at the next step and cannot be resumed. To stop it for a while, pause it.
          </p>
          <div className="actions">
            <button className="button" autoFocus>
              Keep it
            </button>
            <button className="button danger" onClick={() => verb.mutate("cancel")}>
              Cancel job
            </button>
          </div>
        </form>
      </dialog>
    </div>
  );
}
