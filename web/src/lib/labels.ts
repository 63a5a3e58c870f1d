/** How the page writes the names that the API uses. All but the states are open sets: see `words`. */
import type { State } from "../api/types";
import { PHASE_LABELS } from "./constants";
import { words } from "./format";

export const STATE_LABELS: Record<State, string> = {
  queued: "Queued",
  running: "Running",
  paused: "Paused",
  succeeded: "Succeeded",
  failed: "Failed",
  cancelled: "Cancelled",
};

export function phaseLabel(phase: string): string {
  return PHASE_LABELS[phase] ?? words(phase);
}

/** In the order of the artifacts table. */
const ARTIFACT_LABELS: Record<string, string> = {
  weights: "Student",
  onnx: "Student, ONNX",
  config: "Architecture and input, to rebuild the student",
  weights_best: "Student, best epoch",
  baseline_weights: "Same student from scratch",
};

export const ARTIFACT_ORDER = Object.keys(ARTIFACT_LABELS);

export function artifactLabel(kind: string): string {
  return ARTIFACT_LABELS[kind] ?? words(kind);
}
