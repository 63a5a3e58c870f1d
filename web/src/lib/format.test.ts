import { expect, test } from "vitest";

import {
  ago,
  bytes,
  duration,
  factor,
  milliseconds,
  percent,
  points,
  scalar,
  tickLabel,
  times,
} from "./format";

/** Replaces thin and narrow spaces by plain ones. */
const plain = (text: string): string => text.replace(/\s/g, " ");

test("fractions become percents, differences become signed percentage points", () => {
  expect(plain(percent(0.9582))).toBe("95.8 %");
  expect(plain(percent(0.5951, 0))).toBe("60 %");
  expect(plain(points(0.0338))).toBe("+3.4 pp");
  expect(plain(points(-0.0338))).toBe("−3.4 pp");
  expect(plain(points(-0.0001))).toBe("±0.0 pp");
});

test("sizes take the largest fitting unit and never round up beyond it", () => {
  expect(["0 B", "999 B", "1.0 kB", "999 kB", "1.0 MB", "21.8 kB"]).toEqual(
    [0, 999, 1_000, 999_400, 999_600, 21_768].map((size) => plain(bytes(size))),
  );
  expect(plain(milliseconds(0.412))).toBe("0.41 ms");
});

test("durations show their two largest units, ages their largest", () => {
  expect([0, 59.6, 125, 11_400, 187_200].map((s) => plain(duration(s)))).toEqual([
    "0 s",
    "1 min 00 s",
    "2 min 05 s",
    "3 h 10 min",
    "2 d 4 h",
  ]);
  const now = 1e12;
  expect([-9, 4, 40, 3_599, 3_600, 90_000].map((s) => plain(ago(now - s * 1000, now)))).toEqual([
    "just now",
    "just now",
    "40 s ago",
    "59 min ago",
    "1 h ago",
    "1 d ago",
  ]);
});

test("ticks stay short enough for the margin of a chart", () => {
  const ticks = [tickLabel(0.25, 2), tickLabel(15, 0), tickLabel(2e17, 0), tickLabel(1e-7, 7)];
  expect(ticks).toEqual(["0.25", "15", "2e17", "1e−7"]);
  expect(tickLabel(0, 7)).toBe("0");
});

test("scalars of any magnitude stay short", () => {
  expect([0, 2.4e-6, 0.0123, 1.156, 12.34, 512.3].map((v) => plain(scalar(v)))).toEqual([
    "0",
    "2.4 × 10⁻⁶",
    "0.0123",
    "1.16",
    "12.3",
    "512",
  ]);
  expect([times(52.99), factor(4.463, "fewer", "more"), factor(0.8, "fewer", "more")]).toEqual([
    "53×",
    "4.5× fewer",
    "1.3× more",
  ]);
});
