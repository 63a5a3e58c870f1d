/** The jobs page before the first job: how to run one. */
import { CopyButton } from "./CopyButton";

const JOB = `curl -X POST ${location.origin}/v1/jobs -H 'Content-Type: application/json' -d '{
  "teachers": [{"model": "mdl_…"}],
  "student": {"architecture": "resnet8"},
  "dataset": "ds_…",
  "stages": [{"epochs": 6, "objectives": [
    {"method": "hard_target"}, {"method": "kd", "temperature": 4}]}]
}'`;

export function FirstJob() {
  return (
    <section className="card first-job">
      <img src="/mark.svg" alt="" width="44" height="44" />
      <h2>No jobs yet</h2>
      <p className="soft">
        A job trains a small network, the student, to imitate a large trained network, the teacher,
        and measures what the student is worth.
      </p>
      <h3>Try it</h3>
      <p>
        <CopyButton text="kd demo" what="command" />{" "}
        <span className="soft">
          trains a teacher on real handwritten digits and distils a student from it.
        </span>
      </p>
      <h3>Use your own teacher and data</h3>
      <p>
        Upload a dataset with <code>kd datasets push</code> and a teacher with{" "}
        <code>kd models push</code>, then submit a job with <code>kd jobs submit</code> or over
        HTTP:
      </p>
      <pre tabIndex={0}>{JOB}</pre>
      <p className="soft">
        The <a href="/docs">API reference</a> describes every field of a job. New jobs appear on
        this page by themselves.
      </p>
    </section>
  );
}
