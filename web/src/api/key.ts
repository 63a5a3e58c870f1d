/** The API key, kept for this browser tab only. */
const NAME = "kd.key";

export const key = {
  read: (): string | null => sessionStorage.getItem(NAME),
  write: (secret: string): void => sessionStorage.setItem(NAME, secret),
};
