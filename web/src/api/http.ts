/** Every fetch of the dashboard: ETags kept so that a 304 costs nothing, errors given a name. */
import { key } from "./key";
import { link } from "./link";
import type { Problem } from "./types";

/** The API said no; `code` is stable and the message is meant for people. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, problem: Partial<Problem> | null) {
    super(problem?.detail ?? `The service answered with status ${status}.`);
    this.status = status;
    this.code = problem?.code ?? "unknown";
  }
}

/** Nobody answered, or only something in between that could not reach the API. */
export class Unreachable extends Error {}

interface Kept {
  etag: string;
  body: unknown;
}

const KEPT_MAX = 100;
const kept = new Map<string, Kept>();

/** Read a resource. An unchanged one is the very same object as before. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const known = kept.get(path);
  const headers = known ? { "If-None-Match": known.etag } : undefined;
  const answer = await send(path, { ...(headers && { headers }), ...(signal && { signal }) });
  if (answer.status === 304 && known) {
    keep(path, known);
    return known.body as T;
  }
  const body: unknown = await answer.json();
  const etag = answer.headers.get("ETag");
  if (etag) keep(path, { etag, body });
  return body as T;
}

/** The paths asked for longest ago are dropped first. */
function keep(path: string, one: Kept): void {
  kept.delete(path);
  kept.set(path, one);
  if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value as string);
}

/** Ask for a change. */
export async function post<T>(path: string): Promise<T> {
  return (await (await send(path, { method: "POST" })).json()) as T;
}

/** Read a file's bytes, for when a plain link could not carry the key. */
export async function getFile(path: string): Promise<Blob> {
  return (await send(path, {})).blob();
}

/** Forget every kept body: what another key may read is another matter. */
export function forget(): void {
  kept.clear();
}

async function send(path: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("Accept", "application/json");
  const secret = key.read();
  if (secret) headers.set("Authorization", `Bearer ${secret}`);
  let answer: Response;
  try {
    answer = await fetch(path, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    link.set("down");
    throw new Unreachable("The service does not answer.");
  }
  if (answer.ok || answer.status === 304) {
    link.set("up");
    return answer;
  }
  throw await refusal(answer);
}

async function refusal(answer: Response): Promise<Error> {
  const problem = (await answer.json().catch(() => null)) as Partial<Problem> | null;
  if (answer.status >= 502 || (answer.status === 500 && problem === null)) {
    link.set("down");
    return new Unreachable(problem?.detail ?? "The service does not answer.");
  }
  link.set(answer.status === 401 ? "locked" : "up");
  return new Refused(answer.status, problem);
}
