/** Formats numbers, sizes and times for people, with their unit. */
const MINUS = "−";
const THIN = " ";

const fixed = (value: number, digits: number): string => value.toFixed(digits).replace("-", MINUS);

/** A fraction of 1 in percent: 0.9582 is `95.8 %`. */
export function percent(share: number, digits = 1): string {
  return `${fixed(share * 100, digits)}${THIN}%`;
}

/** A fraction in percent, or a dash if it is unknown. */
export function share(value: number | null | undefined, digits = 1): string {
  return value == null ? "–" : percent(value, digits);
}

/** A difference of fractions in signed percentage points: 0.0338 is `+3.4 pp`. */
export function points(difference: number, digits = 1): string {
  const text = fixed(difference * 100, digits);
  const isZero = Number(text.replace(MINUS, "-")) === 0;
  const sign = isZero ? "±" : difference > 0 ? "+" : "";
  return `${sign}${isZero ? text.replace(MINUS, "") : text}${THIN}pp`;
}

export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** A ratio: `53×`, `4.5×`, `0.8×`. */
export function times(ratio: number): string {
  return `${ratio >= 10 ? count(ratio) : fixed(ratio, 1)}×`;
}

/** A ratio in words, inverted if it is below 1: `53× fewer`, `1.3× more`. */
export function factor(ratio: number, less: string, more: string): string {
  return ratio >= 1 ? `${times(ratio)} ${less}` : `${times(1 / ratio)} ${more}`;
}

/** A few significant digits, whatever the magnitude: losses and rates. */
export function scalar(value: number): string {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size < 1e-3 || size >= 1e5) return power(value);
  return fixed(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 4);
}

/** Scientific notation: `2.4 × 10⁻⁶`. */
function power(value: number): string {
  const [digits = "", exponent = ""] = value.toExponential(1).split("e");
  const raised = exponent.replace("+", "").replace("-", "⁻");
  const high = raised.replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)] as string);
  return `${digits.replace("-", MINUS)}${THIN}×${THIN}10${high}`;
}

/** The label of a tick: fixed decimals, or `2e17` where that would not fit beside the axis. */
export function tickLabel(value: number, decimals: number): string {
  if (Math.abs(value) < 1e5 && decimals < 5) return fixed(value, decimals);
  if (value === 0) return "0";
  return Number(value.toPrecision(6)).toExponential().replace("+", "").replaceAll("-", MINUS);
}

/** Bytes in decimal units: `21.8 kB`. */
export function bytes(size: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = size;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? count(value) : fixed(value, 1)}${THIN}${units[unit]}`;
}

/** Milliseconds: `0.41 ms`, `12.3 ms`. */
export function milliseconds(value: number): string {
  return `${fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0)}${THIN}ms`;
}

/** Seconds in the two largest units: `34 s`, `2 min 05 s`, `3 h 10 min`, `2 d 4 h`. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  if (s < 60) return `${s}${THIN}s`;
  if (s < 3600) return `${Math.floor(s / 60)}${THIN}min ${two(s % 60)}${THIN}s`;
  if (s < 86_400)
    return `${Math.floor(s / 3600)}${THIN}h ${two(Math.floor(s / 60) % 60)}${THIN}min`;
  return `${Math.floor(s / 86_400)}${THIN}d ${Math.floor(s / 3600) % 24}${THIN}h`;
}

/** The time since then, in one unit: `just now`, `40 s ago`, `3 h ago`. */
export function ago(then: number, now: number): string {
  const s = Math.max(0, Math.round((now - then) / 1000));
  if (s < 5) return "just now";
  if (s < 60) return `${s}${THIN}s ago`;
  if (s < 3600) return `${Math.floor(s / 60)}${THIN}min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)}${THIN}h ago`;
  return `${Math.floor(s / 86_400)}${THIN}d ago`;
}

/** A date and time in the reader's time zone, to the second. */
export function moment(iso: string): string {
  return new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** A time of day in the reader's time zone. */
export function clock(iso: string): string {
  return new Date(iso).toLocaleTimeString(undefined, { timeStyle: "medium" });
}

/** A code or a method's name as words: `hard_target` is `hard target`. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}
