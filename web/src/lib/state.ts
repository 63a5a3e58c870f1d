/** How each state looks and what may be asked of it: a new state does not compile until both are said. */
import type { Verb } from "../api/queries";
import type { State } from "../api/types";

export interface Look {
  label: string;
  /** Names the colour in tokens.css and the glyph in StatePill. */
  tone: "quiet" | "live" | "held" | "good" | "bad" | "off";
}

export const LOOKS: Record<State, Look> = {
  queued: { label: "Queued", tone: "quiet" },
  running: { label: "Running", tone: "live" },
  paused: { label: "Paused", tone: "held" },
  succeeded: { label: "Succeeded", tone: "good" },
  failed: { label: "Failed", tone: "bad" },
  cancelled: { label: "Cancelled", tone: "off" },
};

export const VERBS: Record<State, readonly Verb[]> = {
  queued: ["pause", "cancel"],
  running: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  succeeded: [],
  failed: ["retry"],
  cancelled: [],
};

export const STATES = Object.keys(LOOKS) as State[];

export function isState(text: string | null): text is State {
  return text !== null && text in LOOKS;
}
