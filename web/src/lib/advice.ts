/** What to do about a failed job, by its code. */
const RETRY = "If the cause has gone, retry; it goes on from its last checkpoint.";

/** Codes are an open set: an unknown one gets the general advice. */
const ADVICE: Record<string, string> = {
  diverged: "Lower the learning rate or the loss weights, or add warm-up epochs, and submit again.",
  out_of_memory: "Choose a smaller batch or image size and submit again, or retry elsewhere.",
  no_space: "Free disk space on the worker’s machine, then retry.",
  killed: "Look at the worker’s memory and log. " + RETRY,
  stalled: "Look at the load of the worker’s machine. " + RETRY,
  poison: "No attempt came to an end. Look at the worker’s memory and log before retrying.",
  wall_clock: "Raise limits.wall_clock_s or ask for fewer epochs, and submit again.",
  worker_failed: "The worker’s log has the details. " + RETRY,
  too_much_output: "The run said far more than any sound run does: look at its log’s end, above.",
  worker_lost: "The worker’s machine or process died. " + RETRY,
  export_mismatch: "An exported file does not answer as the student does. Please report it.",
  bad_result: "This is our mistake, not yours. Please report it.",
  bug: "This is our mistake, not yours. Please report it.",
};

export function advise(code: string, pointer: string | null | undefined): string {
  const correct = "Correct the spec at the place named above and submit again.";
  return ADVICE[code] ?? (pointer ? correct : RETRY);
}

/** What to do about a job that waits, by the reason; nothing where waiting is all there is to do. */
const WAITING_ADVICE: Record<string, string> = {
  no_worker: "Start one: kd up on one machine, python -m distillery.worker jobs beside a server.",
  disk_low: "Free disk space on the worker’s machine; the job starts by itself then.",
  reaper_late: "Start the reaper: python -m distillery.worker reaper.",
};

export function adviseWaiting(reason: string): string | undefined {
  return WAITING_ADVICE[reason];
}
