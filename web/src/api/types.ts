/** Short names for the API's types, all taken from the generated schema. */
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
type Body<P extends keyof paths> = paths[P] extends {
  get: { responses: { 200: { content: { "application/json": infer B } } } };
}
  ? B
  : never;

export type JobPage = Body<"/v1/jobs">;
export type Job = Body<"/v1/jobs/{job_id}">;
export type Metrics = Body<"/v1/jobs/{job_id}/metrics">;
export type TransitionPage = Body<"/v1/jobs/{job_id}/transitions">;
export type ArtifactPage = Body<"/v1/jobs/{job_id}/artifacts">;

export type JobSummary = JobPage["data"][number];
export type State = JobSummary["state"];
export type JobEvent = Schemas["Event"];
export type Waiting = NonNullable<Job["waiting"]>;
export type Series = Metrics["series"][number];
export type Transition = TransitionPage["data"][number];
export type Artifact = ArtifactPage["data"][number];
export type Failure = NonNullable<JobSummary["error"]>;
export type Progress = NonNullable<JobSummary["progress"]>;
export type Result = NonNullable<Job["result"]>;
export type NetworkReport = Result["student"];
export type Score = NetworkReport["last"];
export type Problem = Schemas["Problem"];
