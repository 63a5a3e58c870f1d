/** Sets the title of the browser tab. */
import { useEffect } from "react";

export function useTitle(text: string): void {
  useEffect(() => {
    document.title = `${text} · Distillery`;
  }, [text]);
}
