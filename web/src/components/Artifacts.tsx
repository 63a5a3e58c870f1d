/** The files a job produced, each with the result of loading it back. */
import { useState } from "react";

import { getFile } from "../api/http";
import { key } from "../api/key";
import { useArtifacts } from "../api/queries";
import type { Artifact, Job } from "../api/types";
import { bytes, scalar } from "../lib/format";
import { ARTIFACT_ORDER, artifactLabel } from "../lib/labels";
import { CopyButton } from "./CopyButton";

export function Artifacts({ job }: { job: Job }) {
  const artifacts = useArtifacts(job);
  const sorted = (artifacts.data?.data ?? []).toSorted(
    (a, b) => ARTIFACT_ORDER.indexOf(a.kind) - ARTIFACT_ORDER.indexOf(b.kind),
  );
  return (
    <section className="card flush" aria-labelledby="artifacts-title">
      <h2 id="artifacts-title" className="card-title">
        Artifacts
      </h2>
      {artifacts.error && !artifacts.data && (
        <p className="card-note error-text" role="alert">
          {artifacts.error.message}
        </p>
      )}
      <div className="scroll" tabIndex={0} role="region" aria-label="Artifacts table">
        <table className="artifacts">
          <thead>
            <tr>
              <th scope="col">File</th>
              <th scope="col" className="number">
                Size
              </th>
              <th scope="col" className="number">
                Max. difference
              </th>
              <th scope="col">SHA-256</th>
            </tr>
          </thead>
          <tbody>
            {sorted.map((artifact) => (
              <Row key={artifact.id} artifact={artifact} />
            ))}
          </tbody>
        </table>
      </div>
      <p className="soft card-note">
        Max. difference: the largest difference between an output of the trained network and the
        same output of the file after loading it back.
      </p>
    </section>
  );
}

function Row({ artifact }: { artifact: Artifact }) {
  const { name, kind, size_bytes, max_abs_diff, sha256 } = artifact;
  return (
    <tr data-artifact={kind}>
      <th scope="row">
        <Download artifact={artifact} />
        <small>{artifactLabel(kind)}</small>
      </th>
      <td className="number">{bytes(size_bytes)}</td>
      <td className="number">
        {max_abs_diff === null ? (
          <span className="soft">–</span>
        ) : max_abs_diff === 0 ? (
          "identical"
        ) : (
          scalar(max_abs_diff)
        )}
      </td>
      <td>
        <CopyButton text={sha256} shown={`${sha256.slice(0, 12)}…`} what={`SHA-256 of ${name}`} />
      </td>
    </tr>
  );
}

/** A plain link or, where an API key is needed, a button: a link cannot send the key. */
function Download({ artifact: { href, name } }: { artifact: Artifact }) {
  const [error, setError] = useState<string | null>(null);
  if (key.read() === null)
    return (
      <a href={href} download={name}>
        {name}
      </a>
    );

  const save = async (): Promise<void> => {
    setError(null);
    try {
      const address = URL.createObjectURL(await getFile(href));
      Object.assign(document.createElement("a"), { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    } catch (reason) {
      setError(reason instanceof Error ? reason.message : String(reason));
    }
  };
  return (
    <>
      <button type="button" className="link-button" onClick={() => void save()}>
        {name}
      </button>
      {error && (
        <small className="error-text" role="alert">
          {error}
        </small>
      )}
    </>
  );
}
