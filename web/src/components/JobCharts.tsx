/** A job's charts: validation accuracy against teacher and scratch, and the terms of the loss. */
import { useAccuracies, useLosses } from "../api/queries";
import type { Job } from "../api/types";
import {
  BASELINE_ACCURACY,
  STUDENT_ACCURACY,
  STUDENT_LOSS,
  TEACHER_ACCURACY,
} from "../lib/constants";
import { NO_CURVES, NO_POINTS, type Curves } from "../lib/curves";
import { percent, scalar, tickLabel, words } from "../lib/format";
import type { Range } from "../lib/scale";
import { Chart } from "./chart/Chart";
import type { Line, ReferenceLine } from "./chart/types";

const TERMS = `${STUDENT_LOSS}/`;
const TERM_TONES = ["term-1", "term-2", "term-3", "term-4"];

export function JobCharts({ job }: { job: Job }) {
  const accuracies = useAccuracies(job).data ?? NO_CURVES;
  const losses = useLosses(job).data ?? NO_CURVES;
  const epochs = (job.spec?.stages ?? []).reduce((sum, stage) => sum + stage.epochs, 0) || 1;
  const steps = job.progress?.steps || epochs; // an epoch's number of steps is known once it runs
  const axis = {
    steps,
    stepsPerEpoch: steps / epochs,
    stageStarts: stageStarts(job, steps / epochs),
  };
  const isOver = job.terminal || job.state === "paused";

  return (
    <section className="charts" aria-label="Curves">
      <div className="card">
        <Chart
          {...axis}
          title="Validation accuracy"
          lines={accuracyLines(job, accuracies)}
          reference={teacherLine(accuracies)}
          range={accuracyRange}
          format={(value) => percent(value)}
          formatTick={(value, decimals) => percent(value, Math.max(0, decimals - 2))}
          showBest
          emptyText={isOver ? "No epoch was completed." : "The first epoch brings the first point."}
        />
      </div>
      <div className="card">
        <Chart
          {...axis}
          title="Training loss"
          lines={lossLines(losses)}
          range={(values) => [0, Math.max(...values.flat(), 0) || 1]}
          format={scalar}
          formatTick={tickLabel}
          emptyText={isOver ? "No step was completed." : "Waiting for the first step."}
        />
      </div>
      {(accuracies.downsampled || losses.downsampled) && (
        <p className="soft note">Long curves are downsampled here; the API returns more points.</p>
      )}
    </section>
  );
}

/**
 * The end of training matters most: does the student come near the teacher? So once a curve has a
 * few points, the axis covers its second half, and the line enters from below.
 */
function accuracyRange(values: readonly (readonly number[])[]): Range {
  const later = values.flatMap((line) => line.slice(line.length > 3 ? line.length >> 1 : 0));
  if (later.length === 0) return [0, 1];
  const top = Math.max(...values.flat());
  return [Math.max(0, Math.min(...later, top - 0.01)), top || 1]; // never empty, never above 100 %
}

function accuracyLines(job: Job, curves: Curves): Line[] {
  const line = (name: string, label: string, tone: string): Line => {
    return { name, label, tone, points: curves.byName.get(name) ?? NO_POINTS };
  };
  const student = line(STUDENT_ACCURACY, "Student", "student");
  if (job.spec?.baseline === false) return [student];
  return [student, line(BASELINE_ACCURACY, "From scratch", "scratch")];
}

function teacherLine(curves: Curves): ReferenceLine | null {
  const value = curves.byName.get(TEACHER_ACCURACY)?.values.at(-1);
  return value === undefined ? null : { label: "Teacher", value };
}

/** The terms of the student's loss, unweighted; where there are several, their weighted sum too. */
function lossLines(curves: Curves): Line[] {
  const terms = [...curves.byName]
    .filter(([name]) => name.startsWith(TERMS))
    .map(([name, points], i): Line => {
      const tone = TERM_TONES[i % TERM_TONES.length] as string;
      return { name, label: words(name.slice(TERMS.length)), tone, points };
    });
  if (terms.length === 1) return terms;
  const points = curves.byName.get(STUDENT_LOSS) ?? NO_POINTS;
  return [...terms, { name: STUDENT_LOSS, label: "weighted sum", tone: "student", points }];
}

function stageStarts(job: Job, stepsPerEpoch: number): number[] {
  let epochs = 0;
  return (job.spec?.stages ?? []).slice(0, -1).map((stage) => {
    epochs += stage.epochs;
    return epochs * stepsPerEpoch;
  });
}
