/** The arithmetic of axes: round ticks, and linear scales from values to pixels. */
export type Range = readonly [low: number, high: number];

/** Removes binary rounding errors: 3 * 0.1 becomes 0.3. */
const round = (value: number): number => Number(value.toPrecision(12));
const NICE = [1, 2, 2.5, 5, 10];

/** Round numbers within a range, about `wanted` of them; only integers if `whole`. */
export function ticks([low, high]: Range, wanted: number, whole = false): number[] {
  const raw = Math.max((high - low) / wanted, Number.EPSILON);
  const power = 10 ** Math.floor(Math.log10(raw));
  let step = power * (NICE.find((nice) => nice * power >= raw * 0.999) ?? 10);
  if (whole) step = Math.max(1, Math.ceil(step));
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => round((first + i) * step));
}

/** Extends a range to round numbers; the result is never empty. */
export function widen([low, high]: Range, wanted: number): Range {
  const [a, b] = high - low > 0 ? [low, high] : [low - Math.abs(low) * 0.05 - 0.01, high + 0.01];
  const marks = ticks([a, b], wanted);
  const step = marks.length > 1 ? (marks[1] as number) - (marks[0] as number) : b - a;
  return [round(Math.floor(a / step + 1e-9) * step), round(Math.ceil(b / step - 1e-9) * step)];
}

/** The number of decimals that distinguishes neighbouring ticks. */
export function decimals(marks: readonly number[]): number {
  const step = marks.length > 1 ? Math.abs((marks[1] as number) - (marks[0] as number)) : 1;
  const text = Number(step.toPrecision(6)).toString();
  const [, exponent] = text.split("e-");
  return exponent ? Number(exponent) : (text.split(".")[1]?.length ?? 0);
}

/** The index of the step nearest to `step`; `steps` are ascending. */
export function nearest(steps: readonly number[], step: number): number {
  const after = steps.findIndex((other) => other >= step);
  if (after < 0) return Math.max(0, steps.length - 1);
  const isBefore =
    after > 0 && step - (steps[after - 1] as number) < (steps[after] as number) - step;
  return isBefore ? after - 1 : after;
}

export function linear([low, high]: Range, [from, to]: Range): (value: number) => number {
  const slope = high === low ? 0 : (to - from) / (high - low);
  return (value) => from + (value - low) * slope;
}
