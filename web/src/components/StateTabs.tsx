/** Links that filter the jobs by state. */
import { useEffect, useRef } from "react";
import { Link } from "react-router";

import type { State } from "../api/types";
import { STATE_LABELS } from "../lib/labels";
import { STATES } from "../lib/state";

export function StateTabs({ selected }: { selected: State | null }) {
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    const current = nav.current?.querySelector("[aria-current]");
    current?.scrollIntoView({ block: "nearest", inline: "center" }); // a phone cannot show them all
  }, [selected]);
  return (
    <nav ref={nav} className="tabs" aria-label="Filter by state">
      <Link to="/" aria-current={selected === null ? "page" : undefined}>
        All
      </Link>
      {STATES.map((state) => (
        <Link
          key={state}
          to={`/?state=${state}`}
          aria-current={selected === state ? "page" : undefined}
        >
          {STATE_LABELS[state]}
        </Link>
      ))}
    </nav>
  );
}
