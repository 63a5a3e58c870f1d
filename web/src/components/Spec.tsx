/** The job's spec as JSON, folded. */
import type { Job } from "../api/types";
import { CopyButton } from "./CopyButton";

export function Spec({ job }: { job: Job }) {
  if (!job.spec) return null;
  const text = JSON.stringify(job.spec, null, 2);
  return (
    <details className="card spec">
      <summary>
        <h2>Spec</h2>
      </summary>
      <CopyButton text={text} shown="Copy JSON" />
      <pre tabIndex={0}>{text}</pre>
    </details>
  );
}
