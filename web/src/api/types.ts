/** The wire's shapes by the names we use; all of them come from the generated schema. */
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
type Answer<P extends keyof paths> = paths[P] extends {
  get: { responses: { 200: { content: { "application/json": infer Body } } } };
}
  ? Body
  : never;

export type JobPage = Answer<"/v1/jobs">;
export type Job = Answer<"/v1/jobs/{job_id}">;
export type Metrics = Answer<"/v1/jobs/{job_id}/metrics">;
export type TransitionPage = Answer<"/v1/jobs/{job_id}/transitions">;
export type ArtifactPage = Answer<"/v1/jobs/{job_id}/artifacts">;

export type JobSummary = JobPage["data"][number];
export type State = JobSummary["state"];
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
