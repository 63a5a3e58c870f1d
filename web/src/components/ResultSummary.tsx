/** The key figures of a job's result. */
import type { NetworkReport, Result } from "../api/types";
import { bytes, count, milliseconds, percent, points, share, times } from "../lib/format";

interface Figure {
  label: string;
  value: string;
  note: string;
  tone?: "up" | "down";
}

/** The sum over all networks: an ensemble costs what its members cost together. */
export function total(
  reports: readonly NetworkReport[],
  read: (report: NetworkReport) => number,
): number {
  return reports.reduce((sum, report) => sum + read(report), 0);
}

export function ResultSummary({ result }: { result: Result }) {
  return (
    <dl className="result-summary">
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
      note: `${share(accuracy)}, against ${share(baseline.last.accuracy)} from scratch`,
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
      note: "with the teacher’s predictions",
    });
  }
  if (result.retention !== null) {
    const note = teachers.length > 1 ? "of the teachers’ accuracy" : "of the teacher’s accuracy";
    found.push({ label: "Retention", value: percent(result.retention), note });
  }
  if (result.gap_closed !== null) {
    const note = "between scratch and teacher";
    found.push({ label: "Gap closed", value: percent(result.gap_closed, 0), note });
  }
  if (teachers.length > 0) {
    const parameters = total(teachers, (teacher) => teacher.parameters);
    found.push({
      label: parameters >= student.parameters ? "Smaller" : "Larger",
      value: times(Math.max(parameters / student.parameters, student.parameters / parameters)),
      note: `${count(student.parameters)} of ${count(parameters)} parameters`,
    });
  } else {
    const note = `${count(student.parameters)} parameters`;
    found.push({ label: "Size", value: bytes(student.size_bytes), note });
    found.push({
      label: "Latency",
      value: milliseconds(student.latency_ms),
      note: "for one image",
    });
  }
  return found;
}
