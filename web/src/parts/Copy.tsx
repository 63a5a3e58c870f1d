/** A long text cut short, with a button that copies all of it. */
import { useEffect, useState } from "react";

const SHOWN_MS = 1_500;

export function Copy({ text, shown = text, what }: { text: string; shown?: string; what: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copied]);

  // The clipboard is there on loopback and over TLS only; elsewhere the text can be selected.
  const copy = (): void => void navigator.clipboard?.writeText(text).then(() => setCopied(true));
  return (
    <button type="button" className="copy" onClick={copy} title={text} aria-label={`Copy ${what}`}>
      <code>{shown}</code>
      <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
        {copied ? <path d="M2.2 6.4 4.9 9l5-6" /> : <path d="M4 4V1.8h6.2V8H8M1.8 4H8v6.2H1.8z" />}
      </svg>
      <span className="hidden" role="status">
        {copied ? "Copied" : ""}
      </span>
    </button>
  );
}
