import { QueryClient } from "@tanstack/react-query";
import { expect, test, vi } from "vitest";

import { NO_CURVES } from "../lib/curves";
import { STUDENT_LOSS } from "../lib/constants";
import { fetchCurves, jobKey } from "./queries";

const answer = (...steps: number[]): Response =>
  Response.json({ series: [{ name: STUDENT_LOSS, steps, values: steps, downsampled: false }] });

test("points that are pushed while curves are fetched are not lost", async () => {
  const client = new QueryClient();
  client.setQueryData(jobKey("j"), { last_event: 1 });
  const fetched = vi.fn<typeof fetch>();
  fetched.mockImplementationOnce(async () => {
    client.setQueryData(jobKey("j"), { last_event: 2 }); // an event of step 20 arrives
    return answer(0, 10);
  });
  fetched.mockResolvedValueOnce(answer(20));
  vi.stubGlobal("fetch", fetched);
  vi.stubGlobal("sessionStorage", { getItem: () => null });

  const curves = await fetchCurves(client, "j", [STUDENT_LOSS], NO_CURVES, new AbortController().signal);
  expect(curves.byName.get(STUDENT_LOSS)?.steps).toEqual([0, 10, 20]);
  const asked = fetched.mock.calls.map(([path]) => new URLSearchParams(`${path}`.split("?")[1]));
  expect(asked.map((query) => query.get("after_step"))).toEqual([null, "10"]);
});
