/** The page for an address that leads nowhere. */
import { Link } from "react-router";

import { useTitle } from "../lib/title";

export function NotFound({ what = "page" }: { what?: string }) {
  useTitle("Not found");
  return (
    <div className="card empty">
      <h1>This {what} does not exist</h1>
      <p className="soft">It may have been deleted, or the address may be mistyped.</p>
      <Link className="button" to="/">
        All jobs
      </Link>
    </div>
  );
}
