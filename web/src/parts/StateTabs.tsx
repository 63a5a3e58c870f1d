/** Links that filter the jobs by state. */
import { useEffect, useRef } from "react";
import { Link } from "react-router";

import type { State } from "../api/types";
import { LOOKS, STATES } from "../lib/state";

export function StateTabs({ chosen }: { chosen: State | null }) {
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    const current = nav.current?.querySelector("[aria-current]");
    current?.scrollIntoView({ block: "nearest", inline: "center" }); // on a phone they do not all fit
  }, [chosen]);
  return (
    <nav ref={nav} className="tabs" aria-label="Filter by state">
      <Link to="/" aria-current={chosen === null ? "page" : undefined}>
        All
      </Link>
      {STATES.map((state) => (
        <Link
          key={state}
          to={`/?state=${state}`}
          aria-current={chosen === state ? "page" : undefined}
        >
          {LOOKS[state].label}
        </Link>
      ))}
    </nav>
  );
}
