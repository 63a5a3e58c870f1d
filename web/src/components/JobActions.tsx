/** Buttons for the actions a job's state allows; cancelling asks for confirmation. */
import { useRef } from "react";

import { useJobAction } from "../api/queries";
import type { Job } from "../api/types";
import { ACTIONS, type Action } from "../lib/state";

const LABELS: Record<Action, string> = {
  cancel: "Cancel job",
  pause: "Pause",
  resume: "Resume",
  retry: "Retry",
};

export function JobActions({ job }: { job: Job }) {
  const { mutate, isPending, error } = useJobAction(job.id);
  const dialog = useRef<HTMLDialogElement>(null);
  const isBusy = (action: Action): boolean =>
    isPending || (job.request === "cancel" && !job.terminal) || job.request === action;

  return (
    <div className="actions">
      {ACTIONS[job.state].map((action) => (
        <button
          key={action}
          type="button"
          className={`button${action === "cancel" ? " risky" : ""}`}
          disabled={isBusy(action)}
          onClick={() => (action === "cancel" ? dialog.current?.showModal() : mutate(action))}
        >
          {LABELS[action]}
        </button>
      ))}
      {error && (
        <p className="error-text" role="alert">
          {error.message}
        </p>
      )}
      <dialog ref={dialog} aria-labelledby="cancel-title">
        <form method="dialog">
          <h2 id="cancel-title">Cancel this job?</h2>
          <p className="soft">
            It stops after the current step and cannot be resumed. To stop it for now, pause it
            instead.
          </p>
          <div className="actions">
            <button className="button" autoFocus>
              Keep it
            </button>
            <button className="button danger" onClick={() => mutate("cancel")}>
              Cancel job
            </button>
          </div>
        </form>
      </dialog>
    </div>
  );
}
