/** What the student is worth, in a few large figures. */
import type { NetworkReport, Result } from "../api/types";
import { bytes, count, milliseconds, percent, points, share, times } from "../lib/format";

interface Figure {
  label: string;
  value: string;
  note: string;
  tone?: "up" | "down";
}

/** The figure summed over all teachers: an ensemble costs what its members cost. */
export function total(
  reports: readonly NetworkReport[],
  of: (one: NetworkReport) => number,
): number {
  return reports.reduce((sum, one) => sum + of(one), 0);
}

export function Headline({ result }: { result: Result }) {
  return (
    <dl className="headline">
      {figures(result).map(({ label, value, note, tone }) => (
        <div key={label} className="card">
          <dt>{label}</dt>
          <dd className={`figure ${tone ?? ""}`}>{value}</dd>
          <dd className="soft">{note}</dd>
        </div>
      ))}
    </dl>
  );
}

function figures(result: Result): Figure[] {
  const { student, teachers, baseline, gain } = result;
  const found: Figure[] = [];
  const { accuracy, agreement, samples } = student.last;
  if (gain !== null && baseline) {
    found.push({
      label: "Gain",
      value: points(gain),
      note: `${share(accuracy)}, from scratch ${share(baseline.last.accuracy)}`,
      ...(gain !== 0 && { tone: gain > 0 ? "up" : "down" }),
    });
  } else if (accuracy !== null) {
    found.push({
      label: "Accuracy",
      value: percent(accuracy),
      note: `on ${count(samples)} images`,
    });
  } else if (agreement != null) {
    found.push({
      label: "Agreement",
      value: percent(agreement),
      note: "with the teacher’s classes",
    });
  }
  if (result.retention !== null) {
    const note = teachers.length > 1 ? "of the teachers’ accuracy" : "of the teacher’s accuracy";
    found.push({ label: "Retention", value: percent(result.retention), note });
  }
  if (result.gap_closed !== null) {
    const note = "of the way from scratch to teacher";
    found.push({ label: "Gap closed", value: percent(result.gap_closed, 0), note });
  }
  if (teachers.length > 0) {
    const weight = total(teachers, (one) => one.parameters);
    found.push({
      label: weight >= student.parameters ? "Smaller" : "Larger",
      value: times(Math.max(weight / student.parameters, student.parameters / weight)),
      note: `${count(student.parameters)} of ${count(weight)} parameters`,
    });
  } else {
    const note = `${count(student.parameters)} parameters`;
    found.push({ label: "Size", value: bytes(student.size_bytes), note });
    found.push({ label: "Latency", value: milliseconds(student.latency_ms), note: "one image" });
  }
  return found;
}
