/** Whether the API can be reached: set by every fetch, read by the page's frame. */
import { useSyncExternalStore } from "react";

export type Link = "up" | "down" | "locked";

let now: Link = "up";
const listeners = new Set<() => void>();

export const link = {
  read: (): Link => now,
  set(next: Link): void {
    if (next === now) return;
    now = next;
    for (const tell of listeners) tell();
  },
  subscribe(tell: () => void): () => void {
    listeners.add(tell);
    return () => listeners.delete(tell);
  },
};

export function useLink(): Link {
  return useSyncExternalStore(link.subscribe, link.read);
}
