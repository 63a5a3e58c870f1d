/** The way to older jobs and back to the newest; "newer" is the browser's own way back. */
import { Link, useSearchParams } from "react-router";

export function Pager({ next, isPaged }: { next: string | null; isPaged: boolean }) {
  const [params] = useSearchParams();
  if (next === null && !isPaged) return null;
  const address = (after: string | null): string => {
    const query = new URLSearchParams(params);
    query.delete("after");
    if (after) query.set("after", after);
    return `?${query}`;
  };
  return (
    <nav className="pager" aria-label="Pages">
      {isPaged && (
        <Link className="button" to={address(null)}>
          ← Newest
        </Link>
      )}
      {next && (
        <Link className="button" to={address(next)} onClick={() => window.scrollTo(0, 0)}>
          Older →
        </Link>
      )}
    </nav>
  );
}
