import { beforeEach, expect, test, vi } from "vitest";

import { connection } from "./connection";
import { ApiError, clearCache, get, post, Unreachable } from "./http";

const fetched = vi.fn<typeof fetch>();
const session = new Map<string, string>();

beforeEach(() => {
  clearCache();
  connection.set("up");
  session.clear();
  fetched.mockReset();
  vi.stubGlobal("fetch", fetched);
  vi.stubGlobal("sessionStorage", { getItem: (name: string) => session.get(name) ?? null });
});

const json = (body: unknown, init: ResponseInit = {}): Response =>
  new Response(JSON.stringify(body), init);
const sent = (call: number): Headers => new Headers(fetched.mock.calls[call]?.[1]?.headers);

test("a request sends the last ETag, and a 304 returns the same object", async () => {
  fetched.mockResolvedValueOnce(json({ n: 1 }, { headers: { ETag: 'W/"1"' } }));
  fetched.mockResolvedValueOnce(new Response(null, { status: 304 }));
  const first = await get("/v1/jobs");
  expect(await get("/v1/jobs")).toBe(first);
  expect([sent(0).get("If-None-Match"), sent(1).get("If-None-Match")]).toEqual([null, 'W/"1"']);
});

test("a cached body belongs to one path", async () => {
  fetched.mockImplementation(async (path) => json({ path }, { headers: { ETag: 'W/"1"' } }));
  await get("/v1/jobs/a");
  expect(await get("/v1/jobs/b")).toEqual({ path: "/v1/jobs/b" });
  expect(sent(1).get("If-None-Match")).toBeNull();
});

test("an error carries the problem's message and code; a 401 asks for a key", async () => {
  const problem = { detail: "the job has ended", code: "conflict" };
  fetched.mockResolvedValueOnce(json(problem, { status: 409 }));
  await expect(post("/v1/jobs/a/cancel")).rejects.toMatchObject({
    message: "the job has ended",
    code: "conflict",
  });
  expect(connection.read()).toBe("up");
  fetched.mockResolvedValueOnce(json({}, { status: 401 }));
  await expect(get("/v1/jobs")).rejects.toBeInstanceOf(ApiError);
  expect(connection.read()).toBe("key_needed");
});

test("no response and a gateway's 502 both mean down, until the next response", async () => {
  fetched.mockRejectedValueOnce(new TypeError("Failed to fetch"));
  await expect(get("/v1/jobs")).rejects.toBeInstanceOf(Unreachable);
  expect(connection.read()).toBe("down");
  fetched.mockResolvedValueOnce(json({}));
  await get("/v1/jobs");
  expect(connection.read()).toBe("up");
  fetched.mockResolvedValueOnce(new Response("", { status: 502 }));
  await expect(get("/v1/jobs")).rejects.toBeInstanceOf(Unreachable);
  expect(connection.read()).toBe("down");
});

test("the API key is sent", async () => {
  session.set("kd.key", "kd_1_secret");
  fetched.mockResolvedValueOnce(json({}));
  await get("/v1/jobs");
  expect(sent(0).get("Authorization")).toBe("Bearer kd_1_secret");
});
