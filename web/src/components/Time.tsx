/** A time relative to now, with the absolute time as its tooltip. */
import { ago, moment } from "../lib/format";
import { useNow } from "../lib/now";

export function Time({ iso }: { iso: string }) {
  const now = useNow();
  return (
    <time dateTime={iso} title={moment(iso)}>
      {ago(Date.parse(iso), now)}
    </time>
  );
}
