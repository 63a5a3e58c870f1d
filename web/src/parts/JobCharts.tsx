/** A job's two charts: what matters (validation accuracy against both controls) and how it learns. */
import { LOSS, useAccuracies, useLosses } from "../api/queries";
import type { Job } from "../api/types";
import { NO_CURVES, NO_POINTS, type Curves } from "../lib/curves";
import { percent, scalar, words } from "../lib/format";
import type { Range } from "../lib/scale";
import { Chart, type Line } from "./Chart";

const TERMS = `${LOSS}/`;
const TERM_TONES = ["term-1", "term-2", "term-3", "term-4"];

export function JobCharts({ job }: { job: Job }) {
  const accuracies = useAccuracies(job).data ?? NO_CURVES;
  const losses = useLosses(job).data ?? NO_CURVES;
  const epochs = (job.spec?.stages ?? []).reduce((sum, stage) => sum + stage.epochs, 0) || 1;
  const steps = job.progress?.steps || epochs; // the steps of an epoch are known once it runs
  const axis = { steps, stepsPerEpoch: steps / epochs };
  const isOver = job.terminal || job.state === "paused";

  return (
    <section className="charts" aria-label="Curves">
      <div className="card">
        <Chart
          {...axis}
          title="Validation accuracy"
          lines={accuracyLines(job, accuracies)}
          level={teacherLevel(accuracies)}
          stages={stageStarts(job, axis.stepsPerEpoch)}
          range={accuracyRange}
          format={(value) => percent(value)}
          tick={(value, decimals) => percent(value, Math.max(0, decimals - 2))}
          best
          waiting={isOver ? "No point was reached." : "The first point comes with the first epoch."}
        />
      </div>
      <div className="card">
        <Chart
          {...axis}
          title="Training loss"
          lines={lossLines(losses)}
          stages={stageStarts(job, axis.stepsPerEpoch)}
          range={(values) => [0, Math.max(...values.flat(), 0) || 1]}
          format={scalar}
          tick={(value, decimals) => value.toFixed(decimals)}
          waiting={isOver ? "No step was reached." : "Waiting for the first step."}
        />
      </div>
      {(accuracies.downsampled || losses.downsampled) && (
        <p className="soft note">
          Long curves are thinned for the screen; the API has every point.
        </p>
      )}
    </section>
  );
}

/**
 * What matters is the end: whether the student comes near the teacher. So once a curve has a few
 * points the axis begins at its later half, and the line enters from below.
 */
function accuracyRange(values: readonly (readonly number[])[]): Range {
  const later = values.flatMap((line) => line.slice(line.length > 3 ? line.length >> 1 : 0));
  return later.length > 0 ? [Math.min(...later), Math.max(...values.flat())] : [0, 1];
}

function accuracyLines(job: Job, curves: Curves): Line[] {
  const lines: Line[] = [
    {
      name: "student/accuracy",
      label: "Student",
      tone: "student",
      points: curves.byName.get("student/accuracy") ?? NO_POINTS,
    },
  ];
  if (job.spec?.baseline !== false) {
    lines.push({
      name: "baseline/accuracy",
      label: "From scratch",
      tone: "scratch",
      points: curves.byName.get("baseline/accuracy") ?? NO_POINTS,
    });
  }
  return lines;
}

function teacherLevel(curves: Curves) {
  const value = curves.byName.get("teacher/accuracy")?.values.at(-1);
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
  const points = curves.byName.get(LOSS) ?? NO_POINTS;
  return [...terms, { name: "student/loss", label: "weighted sum", tone: "student", points }];
}

function stageStarts(job: Job, stepsPerEpoch: number): number[] {
  let epochs = 0;
  return (job.spec?.stages ?? []).slice(0, -1).map((stage) => {
    epochs += stage.epochs;
    return epochs * stepsPerEpoch;
  });
}
