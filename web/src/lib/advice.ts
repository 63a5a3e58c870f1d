/** What to do about a failed job, by its code. Codes are an open set: an unknown one gets the general advice. */
const ADVICE: Record<string, string> = {
  diverged:
    "Lower the learning rate or the loss weights, or add warm-up epochs, and submit it again.",
  out_of_memory:
    "Choose a smaller batch size or image size, or a larger machine, and submit it again.",
  no_space: "Free disk space on the worker's machine, then retry.",
  poison: "The attempts ended without a word. Look at the worker's log and memory before retrying.",
  wall_clock: "Raise limits.wall_clock_s or ask for fewer epochs, and submit it again.",
  export_mismatch:
    "The exported file does not answer as the student does. Export another format, and report this.",
  bug: "This is our mistake, not yours: the run's log on the worker has the details. Please report it.",
};

export function advise(code: string, pointer: string | null | undefined): string {
  const known = ADVICE[code];
  if (known) return known;
  return pointer
    ? "Correct the spec at the place named above and submit it again."
    : "If the cause has gone, retry; otherwise correct the spec and submit it again.";
}
