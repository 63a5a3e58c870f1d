/** Links to older jobs and back to the newest; the browser's Back button leads to newer ones. */
import { Link, useSearchParams } from "react-router";

interface Props {
  next: string | null;
  isFirst: boolean;
}

export function Pager({ next, isFirst }: Props) {
  const [params] = useSearchParams();
  if (next === null && isFirst) return null;
  const address = (after: string | null): string => {
    const query = new URLSearchParams(params);
    query.delete("after");
    if (after) query.set("after", after);
    return `?${query}`;
  };
  return (
    <nav className="pager" aria-label="Pages">
      {!isFirst && (
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
