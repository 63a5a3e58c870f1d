/** What a new user sees: how to get a first job. */
import { Copy } from "./Copy";

const JOB = `curl -X POST ${location.origin}/v1/jobs -H 'Content-Type: application/json' -d '{
  "teachers": [{"model": "mdl_…"}],
  "student": {"architecture": "resnet8"},
  "dataset": "ds_…",
  "stages": [{"epochs": 6, "objectives": [
    {"method": "hard_target"}, {"method": "kd", "temperature": 4}]}]
}'`;

export function FirstJob() {
  return (
    <section className="card first">
      <img src="/mark.svg" alt="" width="44" height="44" />
      <h2>No jobs yet</h2>
      <p className="soft">
        A job takes a big trained network, the teacher, and turns it into a small one, the student,
        with proof of what the student is worth.
      </p>
      <h3>See one in a minute</h3>
      <p>
        <Copy text="kd demo" what="command" />{" "}
        <span className="soft">trains a teacher on real digits and distils a student from it.</span>
      </p>
      <h3>Or bring your own</h3>
      <p>
        Push a dataset and a teacher with <code>kd datasets push</code> and{" "}
        <code>kd models push</code>, then ask for a student with <code>kd jobs submit</code>, or:
      </p>
      <pre tabIndex={0}>{JOB}</pre>
      <p className="soft">
        Everything a job may say is in the <a href="/docs">API’s description</a>. This page shows it
        as soon as it is there.
      </p>
    </section>
  );
}
