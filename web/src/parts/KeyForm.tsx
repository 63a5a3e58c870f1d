/** Asks for an API key when the service wants one. */
import { useQueryClient } from "@tanstack/react-query";
import { useId, useState, type FormEvent } from "react";

import { forget } from "../api/http";
import { key } from "../api/key";
import { link } from "../api/link";

export function KeyForm() {
  const client = useQueryClient();
  const [refused] = useState(() => key.read() !== null);
  const [text, setText] = useState("");
  const id = useId();

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    key.write(text.trim());
    forget();
    link.set("up");
    void client.resetQueries();
  };

  return (
    <form className="card lock" onSubmit={submit}>
      <h1>This service wants an API key</h1>
      <p className="soft">
        Make one where the service runs: <code>kd keys create --name me --scopes read,write</code>
      </p>
      <label htmlFor={id}>API key</label>
      <div className="lock-row">
        <input
          id={id}
          type="password"
          autoComplete="off"
          spellCheck={false}
          placeholder="kd_…"
          required
          autoFocus
          value={text}
          onChange={(event) => setText(event.target.value)}
          aria-describedby={`${id}-note`}
        />
        <button className="button strong">Open</button>
      </div>
      <p
        id={`${id}-note`}
        className={refused ? "wrong" : "soft"}
        role={refused ? "alert" : undefined}
      >
        {refused
          ? "That key was not accepted: it may be mistyped, expired or revoked."
          : "It stays in this tab and is forgotten when you close it."}
      </p>
    </form>
  );
}
