/** An address that leads nowhere. */
import { Link } from "react-router";

import { useTitle } from "../lib/title";

export function Missing({ what = "page" }: { what?: string }) {
  useTitle("Not found");
  return (
    <div className="card empty">
      <h1>There is no such {what}</h1>
      <p className="soft">It may have been removed, or the address is mistyped.</p>
      <Link className="button" to="/">
        All jobs
      </Link>
    </div>
  );
}
