/** Job states and the actions that each allows. */
import type { State } from "../api/types";
import { STATE_LABELS } from "./labels";

export type Action = "cancel" | "pause" | "resume" | "retry";

export const ACTIONS: Record<State, readonly Action[]> = {
  queued: ["pause", "cancel"],
  running: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  succeeded: [],
  failed: ["retry"],
  cancelled: [],
};

export const STATES = Object.keys(STATE_LABELS) as State[];

export function isState(text: string | null): text is State {
  return text !== null && text in STATE_LABELS;
}
