/** Compares the teachers, the student, and the same student trained from scratch. */
import type { NetworkReport, Result, Score } from "../api/types";
import { bytes, count, factor, milliseconds, share } from "../lib/format";
import { total } from "./ResultSummary";

const SPLITS: Record<Result["split"], string> = {
  test: "the test split",
  validation: "the validation split, as there is no test split",
  none: "no held-out data",
};

export function ResultTable({ result }: { result: Result }) {
  const { teachers, student, baseline, machine } = result;
  return (
    <section className="card flush" aria-labelledby="result-title">
      <h2 id="result-title" className="card-title">
        Result
      </h2>
      <div className="scroll" tabIndex={0} role="region" aria-label="Result table">
        <table className="result">
          <thead>
            <tr>
              <th scope="col">Network</th>
              <th scope="col" className="number">
                Accuracy
              </th>
              {teachers.length > 0 && (
                <th scope="col" className="number">
                  Agreement
                </th>
              )}
              <th scope="col" className="number">
                Parameters
              </th>
              <th scope="col" className="number">
                Size
              </th>
              <th scope="col" className="number">
                Latency
              </th>
            </tr>
          </thead>
          <tbody>
            {teachers.map((teacher, i) => (
              <Row
                key={i}
                role={teachers.length > 1 ? `Teacher ${i + 1}` : "Teacher"}
                tone="teacher"
                report={teacher}
                teachers={teachers}
              />
            ))}
            {result.ensemble && (
              <Row
                role="Ensemble"
                tone="teacher"
                report={ensembleReport(teachers, result.ensemble)}
                teachers={teachers}
              />
            )}
            <Row role="Student" tone="student" report={student} teachers={teachers} />
            {baseline && (
              <Row role="From scratch" tone="scratch" report={baseline} teachers={teachers} />
            )}
          </tbody>
        </table>
      </div>
      <p className="soft card-note">
        Accuracy after the last epoch and, below it, after the epoch with the best validation
        accuracy, on {SPLITS[result.split]} ({count(student.last.samples)} images)
        {teachers.length > 0 &&
          "; agreement is the share of images on which the prediction is the teacher’s"}
        . Latency is the median for one image on {machine.device}, {machine.threads}{" "}
        {machine.threads === 1 ? "thread" : "threads"}, {machine.precision}, torch {machine.torch}.
        {result.resumes > 0 &&
          ` Resumed ${result.resumes === 1 ? "once" : `${result.resumes} times`}${result.bit_exact ? "" : ", not bit-exact"}.`}
      </p>
    </section>
  );
}

/** The ensemble as one network: its own accuracy, and the cost of all its members. */
function ensembleReport(teachers: readonly NetworkReport[], score: Score): NetworkReport {
  return {
    name: "ensemble",
    architecture: `mean of ${teachers.length}`,
    parameters: total(teachers, (network) => network.parameters),
    size_bytes: total(teachers, (network) => network.size_bytes),
    latency_ms: total(teachers, (network) => network.latency_ms),
    last: score,
  };
}

interface RowProps {
  role: string;
  tone: string;
  report: NetworkReport;
  /** The networks whose cost is compared with this one's. */
  teachers: readonly NetworkReport[];
}

function Row({ role, tone, report, teachers }: RowProps) {
  const ratio = (read: (report: NetworkReport) => number, less: string, more: string) =>
    teachers.length > 0 && tone !== "teacher" && read(report) > 0
      ? factor(total(teachers, read) / read(report), less, more)
      : null;
  return (
    <tr>
      <th scope="row">
        <span className={`role tone-${tone}`}>{role}</span>
        <small>{report.architecture}</small>
      </th>
      <Cell
        value={share(report.last.accuracy, 2)}
        note={report.best && `epoch ${report.best_epoch ?? "?"}: ${share(report.best.accuracy, 2)}`}
      />
      {teachers.length > 0 && <Cell value={share(report.last.agreement)} />}
      <Cell
        value={count(report.parameters)}
        note={ratio((network) => network.parameters, "fewer", "more")}
      />
      <Cell
        value={bytes(report.size_bytes)}
        note={ratio((network) => network.size_bytes, "smaller", "larger")}
      />
      <Cell
        value={milliseconds(report.latency_ms)}
        note={ratio((network) => network.latency_ms, "faster", "slower")}
      />
    </tr>
  );
}

function Cell({ value, note = null }: { value: string; note?: string | null | undefined }) {
  return (
    <td className="number">
      {value}
      {note && <small>{note}</small>}
    </td>
  );
}
