import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { ACTIONS, STATES } from "./state";

test("every state has a colour of its own", () => {
  const css = readFileSync(new URL("../styles/tokens.css", import.meta.url), "utf8");
  const colours = STATES.map((state) => css.match(`\\.tone-${state} {\\s+--tone: (.+);`)?.[1]);
  expect(colours).not.toContain(undefined);
  expect(new Set(colours).size).toBe(STATES.length);
});

test("a job that has ended allows nothing but a retry after a failure", () => {
  expect([ACTIONS.succeeded, ACTIONS.cancelled, ACTIONS.failed]).toEqual([[], [], ["retry"]]);
});
