/** What was asked for, word for word, folded away until somebody looks. */
import type { Job } from "../api/types";
import { Copy } from "./Copy";

export function Spec({ job }: { job: Job }) {
  if (!job.spec) return null;
  const text = JSON.stringify(job.spec, null, 2);
  return (
    <details className="card spec">
      <summary>
        <h2>Spec</h2>
      </summary>
      <Copy text={text} shown="Copy JSON" what="spec" />
      <pre tabIndex={0}>{text}</pre>
    </details>
  );
}
