/** The layout around every page: the top bar, a banner while the API is unreachable, the key form. */
import type { ReactNode } from "react";
import { Link } from "react-router";

import { useConnection } from "../api/connection";
import { KeyForm } from "./KeyForm";

export function AppShell({ children }: { children: ReactNode }) {
  const connection = useConnection();
  return (
    <>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="top-bar">
        <div className="top-bar-content">
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
        {connection === "down" && (
          <p className="banner">
            <span className="spinner" aria-hidden="true" />
            <span>
              <strong>The service is not responding.</strong> This page shows the last known state
              and keeps trying to reconnect.
            </span>
          </p>
        )}
      </div>
      <main id="main" tabIndex={-1}>
        {connection === "key_needed" ? <KeyForm /> : children}
      </main>
    </>
  );
}
