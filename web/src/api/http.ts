/** All HTTP requests of the dashboard: a cache by ETag, the API key, typed errors. */
import { connection } from "./connection";
import { key } from "./key";
import type { Problem } from "./types";

/** The API refused the request. `code` is stable; the message is written for people. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, problem: Partial<Problem> | null) {
    super(problem?.detail ?? `The service returned status ${status}.`);
    this.status = status;
    this.code = problem?.code ?? "unknown";
  }
}

/** No response came, or only a gateway's error. */
export class Unreachable extends Error {}

interface CacheEntry {
  etag: string;
  body: unknown;
}

const CACHE_MAX = 100;
const cache = new Map<string, CacheEntry>();

/** Reads a resource. Returns the same object as before if it has not changed. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const known = cache.get(path);
  const headers = known ? { "If-None-Match": known.etag } : undefined;
  const response = await send(path, { ...(headers && { headers }), ...(signal && { signal }) });
  if (response.status === 304 && known) {
    keep(path, known);
    return known.body as T;
  }
  const body: unknown = await response.json();
  const etag = response.headers.get("ETag");
  if (etag) keep(path, { etag, body });
  return body as T;
}

/** Moves the entry to the end, so that the least recently used one is evicted first. */
function keep(path: string, entry: CacheEntry): void {
  cache.delete(path);
  cache.set(path, entry);
  if (cache.size > CACHE_MAX) cache.delete(cache.keys().next().value as string);
}

export async function post<T>(path: string): Promise<T> {
  return (await (await send(path, { method: "POST" })).json()) as T;
}

/** Reads a file's bytes, for when a plain link could not send the key. */
export async function getFile(path: string): Promise<Blob> {
  return (await send(path, {})).blob();
}

/** Opens an event stream; events up to `lastId` are skipped. */
export async function getStream(
  path: string,
  lastId: number,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const headers = { Accept: "text/event-stream", "Last-Event-ID": String(lastId) };
  const { body } = await send(path, { headers, signal, cache: "no-store" });
  if (!body) throw new Unreachable("The stream has no body.");
  return body;
}

/** Drops every cached body: another key may not read the same resources. */
export function clearCache(): void {
  cache.clear();
}

async function send(path: string, init: RequestInit): Promise<Response> {
  const headers = new Headers({ Accept: "application/json" });
  new Headers(init.headers).forEach((value, name) => headers.set(name, value));
  const secret = key.read();
  if (secret) headers.set("Authorization", `Bearer ${secret}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    connection.set("down");
    throw new Unreachable("The service is not responding.");
  }
  if (response.ok || response.status === 304) {
    connection.set("up");
    return response;
  }
  throw await errorOf(response);
}

async function errorOf(response: Response): Promise<Error> {
  const problem = (await response.json().catch(() => null)) as Partial<Problem> | null;
  const { status } = response;
  if (status >= 502 || (status === 500 && problem === null)) {
    connection.set("down");
    return new Unreachable(problem?.detail ?? "The service is not responding.");
  }
  connection.set(status === 401 ? "key_needed" : "up");
  return new ApiError(status, problem);
}
