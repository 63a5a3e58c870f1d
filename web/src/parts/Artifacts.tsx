/** The files a job made, with the proof that each was loaded back. */
import { useState } from "react";

import { getFile } from "../api/http";
import { key } from "../api/key";
import { useArtifacts } from "../api/queries";
import type { Artifact, Job } from "../api/types";
import { bytes, scalar, words } from "../lib/format";
import { Copy } from "./Copy";

const KINDS: Record<string, string> = {
  weights: "Student",
  onnx: "Student, ONNX",
  config: "Rebuilds the student",
  weights_best: "Student, best epoch",
  baseline_weights: "From scratch",
};

const ORDER = Object.keys(KINDS);

export function Artifacts({ job }: { job: Job }) {
  const artifacts = useArtifacts(job);
  const inOrder = (artifacts.data?.data ?? []).toSorted(
    (a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind),
  );
  return (
    <section className="card flush" aria-labelledby="artifacts-title">
      <h2 id="artifacts-title" className="card-title">
        Artifacts
      </h2>
      {artifacts.error && !artifacts.data && (
        <p className="card-note wrong" role="alert">
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
                Verified difference
              </th>
              <th scope="col">SHA-256</th>
            </tr>
          </thead>
          <tbody>
            {inOrder.map((one) => (
              <Row key={one.id} artifact={one} />
            ))}
          </tbody>
        </table>
      </div>
      <p className="soft card-note">
        Verified difference: the largest difference of any output after loading the file back.
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
        <small>{KINDS[kind] ?? words(kind)}</small>
      </th>
      <td className="number">{bytes(size_bytes)}</td>
      <td className="number">
        {max_abs_diff === null ? (
          <span className="faint">–</span>
        ) : max_abs_diff === 0 ? (
          "identical"
        ) : (
          scalar(max_abs_diff)
        )}
      </td>
      <td>
        <Copy text={sha256} shown={`${sha256.slice(0, 12)}…`} what={`SHA-256 of ${name}`} />
      </td>
    </tr>
  );
}

/** A plain link; where a key is needed, which no link can carry, the bytes are fetched and saved. */
function Download({ artifact: { href, name } }: { artifact: Artifact }) {
  const [problem, setProblem] = useState<string | null>(null);
  if (key.read() === null)
    return (
      <a href={href} download={name}>
        {name}
      </a>
    );

  const save = async (): Promise<void> => {
    setProblem(null);
    try {
      const address = URL.createObjectURL(await getFile(href));
      Object.assign(document.createElement("a"), { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <>
      <button type="button" className="link" onClick={() => void save()}>
        {name}
      </button>
      {problem && (
        <small className="wrong" role="alert">
          {problem}
        </small>
      )}
    </>
  );
}
