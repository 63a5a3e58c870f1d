/** The page's title in the browser's tab. */
import { useEffect } from "react";

export function useTitle(text: string): void {
  useEffect(() => {
    document.title = `${text} · Distillery`;
  }, [text]);
}
