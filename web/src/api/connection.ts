/** Whether the API can be reached: set by every request, shown by the app shell. */
import { useSyncExternalStore } from "react";

export type Connection = "up" | "down" | "key_needed";

let current: Connection = "up";
const listeners = new Set<() => void>();

export const connection = {
  read: (): Connection => current,
  set(next: Connection): void {
    if (next === current) return;
    current = next;
    for (const listener of listeners) listener();
  },
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

export function useConnection(): Connection {
  return useSyncExternalStore(connection.subscribe, connection.read);
}
