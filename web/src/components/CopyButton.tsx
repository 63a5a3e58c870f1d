/** A button that copies a text to the clipboard and shows it, or a shortened form of it. */
import { useEffect, useState } from "react";

const CONFIRMATION_MS = 1_500;

interface Props {
  text: string;
  shown?: string;
  /** Named for screen readers where the visible text does not say what is copied. */
  what?: string;
}

export function CopyButton({ text, shown = text, what }: Props) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), CONFIRMATION_MS);
    return () => clearTimeout(timer);
  }, [copied]);

  // Browsers offer the clipboard on loopback and over TLS only; elsewhere the text can be selected.
  const copy = (): void => void navigator.clipboard?.writeText(text).then(() => setCopied(true));
  const tooltip = text.includes("\n") ? undefined : text;
  // No aria-label: the accessible name must contain the visible text (WCAG 2.5.3).
  return (
    <button type="button" className="copy" onClick={copy} title={tooltip}>
      {what && <span className="hidden">Copy {what}: </span>}
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
