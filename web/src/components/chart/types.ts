/** The types that the files of a chart share; kept apart so that none of them imports another's. */
import type { Points } from "../../lib/curves";
import type { Range } from "../../lib/scale";

export interface Line {
  name: string;
  label: string;
  /** Selects the colour in tokens.css. */
  tone: string;
  points: Points;
}

/** A horizontal reference line. */
export interface ReferenceLine {
  label: string;
  value: number;
}

export interface ChartProps {
  title: string;
  lines: readonly Line[];
  reference?: ReferenceLine | null;
  /** The last step on the axis: known from the start, so that the axis does not move. */
  steps: number;
  stepsPerEpoch: number;
  /** The first step of each stage after the first. */
  stageStarts: readonly number[];
  /** The values the axis must cover, given those of each line and of the reference line. */
  range: (values: readonly (readonly number[])[]) => Range;
  format: (value: number) => string;
  /** The label of a tick, with the number of decimals that the ticks need. */
  formatTick: (value: number, decimals: number) => string;
  /** Show the best value of each line in the legend. */
  showBest?: boolean;
  /** Shown in place of the lines while there is no point. */
  emptyText: string;
}

/** The plot area in pixels, and the scales that map steps and values onto it. */
export interface PlotArea {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
  yRange: Range;
  x: (step: number) => number;
  y: (value: number) => number;
}
