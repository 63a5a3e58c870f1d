/** Teacher, student and the same student from scratch, side by side. */
import type { NetworkReport, Result, Score } from "../api/types";
import { bytes, count, factor, milliseconds, share } from "../lib/format";
import { total } from "./Headline";

const SPLITS: Record<Result["split"], string> = {
  test: "the test part",
  validation: "the validation part, as there is no test part",
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
            {teachers.map((one, i) => (
              <Row
                key={i}
                role={teachers.length > 1 ? `Teacher ${i + 1}` : "Teacher"}
                tone="teacher"
                of={one}
                teachers={teachers}
              />
            ))}
            {result.ensemble && (
              <Row
                role="Teachers together"
                tone="teacher"
                of={together(teachers, result.ensemble)}
                teachers={teachers}
              />
            )}
            <Row role="Student" tone="student" of={student} teachers={teachers} />
            {baseline && (
              <Row role="From scratch" tone="scratch" of={baseline} teachers={teachers} />
            )}
          </tbody>
        </table>
      </div>
      <p className="soft card-note">
        Accuracy of the last epoch, and below it of the epoch that was best in validation, on{" "}
        {SPLITS[result.split]} ({count(student.last.samples)} images)
        {teachers.length > 0 && "; agreement is the share of images with the teacher’s top class"}.
        Latency is the median for one image on {machine.device}, {machine.threads}{" "}
        {machine.threads === 1 ? "thread" : "threads"}, {machine.precision}, torch {machine.torch}.
        {result.resumes > 0 &&
          ` Resumed ${result.resumes}×${result.bit_exact ? "" : ", not bit-exact"}.`}
      </p>
    </section>
  );
}

/** An ensemble as one network: its own score, and the cost of all its members. */
function together(teachers: readonly NetworkReport[], score: Score): NetworkReport {
  return {
    name: "ensemble",
    architecture: `mean of ${teachers.length}`,
    parameters: total(teachers, (one) => one.parameters),
    size_bytes: total(teachers, (one) => one.size_bytes),
    latency_ms: total(teachers, (one) => one.latency_ms),
    last: score,
  };
}

interface RowProps {
  role: string;
  tone: string;
  of: NetworkReport;
  /** Against whose cost this one's is set. */
  teachers: readonly NetworkReport[];
}

function Row({ role, tone, of, teachers }: RowProps) {
  const ratio = (read: (one: NetworkReport) => number, less: string, more: string) =>
    teachers.length > 0 && tone !== "teacher" && read(of) > 0
      ? factor(total(teachers, read) / read(of), less, more)
      : null;
  return (
    <tr>
      <th scope="row">
        <span className={`role tone-${tone}`}>{role}</span>
        <small>{of.architecture}</small>
      </th>
      <Cell
        value={share(of.last.accuracy, 2)}
        note={of.best && `epoch ${of.best_epoch ?? "?"}: ${share(of.best.accuracy, 2)}`}
      />
      {teachers.length > 0 && <Cell value={share(of.last.agreement)} />}
      <Cell value={count(of.parameters)} note={ratio((one) => one.parameters, "fewer", "more")} />
      <Cell
        value={bytes(of.size_bytes)}
        note={ratio((one) => one.size_bytes, "smaller", "larger")}
      />
      <Cell
        value={milliseconds(of.latency_ms)}
        note={ratio((one) => one.latency_ms, "faster", "slower")}
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
