/** What surrounds every page: the bar at the top, the banner when the API is away, the key's form. */
import type { ReactNode } from "react";
import { Link } from "react-router";

import { useLink } from "../api/link";
import { KeyForm } from "./KeyForm";

export function Frame({ children }: { children: ReactNode }) {
  const link = useLink();
  return (
    <>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="bar">
        <div className="bar-in">
          <Link to="/" className="brand">
            <img src="/mark.svg" alt="" width="22" height="22" />
            Distillery
          </Link>
          <nav aria-label="Main">
            <Link to="/">Jobs</Link>
            <a href="/docs">API</a>
          </nav>
        </div>
      </header>
      <div aria-live="polite">
        {link === "down" && (
          <p className="banner">
            <span className="spin" aria-hidden="true" />
            <span>
              <strong>The service does not answer.</strong> You see what was last known; this page
              keeps trying.
            </span>
          </p>
        )}
      </div>
      <main id="main" tabIndex={-1}>
        {link === "locked" ? <KeyForm /> : children}
      </main>
    </>
  );
}
