import { expect, test } from "vitest";

import { LOOKS, STATES, VERBS } from "./state";

test("no two states look alike, so that colour and glyph tell them apart", () => {
  expect(new Set(STATES.map((state) => LOOKS[state].tone)).size).toBe(STATES.length);
});

test("an ended job may be asked for nothing but another try after a failure", () => {
  expect([VERBS.succeeded, VERBS.cancelled, VERBS.failed]).toEqual([[], [], ["retry"]]);
});
