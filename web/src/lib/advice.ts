/** What to do about a failed or waiting job. */
const RETRY = "Once the cause is fixed, retry the job: it resumes from its last checkpoint.";
const REPORT = "This is a bug in Distillery. Please report it.";

/** Codes are an open set: an unknown one gets general advice. */
const FAILURE_ADVICE: Record<string, string> = {
  diverged: "Lower the learning rate or the loss weights, or add warm-up epochs, and submit again.",
  out_of_memory: "Submit again with a smaller batch or image size, or retry on another worker.",
  no_space: "Free disk space on the worker’s machine, then retry.",
  killed: "Check the memory and the log of the worker. " + RETRY,
  stalled: "Check the load of the worker’s machine. " + RETRY,
  poison: "Every attempt died. Check the memory and the log of the worker before you retry.",
  wall_clock: "Raise limits.wall_clock_s or reduce the number of epochs, and submit again.",
  worker_failed: "See the worker’s log for details. " + RETRY,
  too_much_output: "The run wrote far more output than a healthy run does. See its last log lines.",
  worker_lost: "The worker’s machine or process died. " + RETRY,
  export_mismatch: "An exported file gives other outputs than the student. Please report it.",
  bad_result: REPORT,
  bug: REPORT,
};

export function failureAdvice(code: string, pointer: string | null | undefined): string {
  const correct = "Correct the spec at the place named above and submit again.";
  return FAILURE_ADVICE[code] ?? (pointer ? correct : RETRY);
}

/** By reason; a reason that only time resolves has no entry. */
const WAITING_ADVICE: Record<string, string> = {
  no_worker: "Start one: kd up on a single machine, python -m distillery.worker jobs on a server.",
  disk_low: "Free disk space on the worker’s machine; the job then starts by itself.",
  reaper_late: "Start the reaper: python -m distillery.worker reaper.",
};

export function waitingAdvice(reason: string): string | undefined {
  return WAITING_ADVICE[reason];
}
