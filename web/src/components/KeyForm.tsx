/** Asks for an API key when the service requires one. */
import { useQueryClient } from "@tanstack/react-query";
import { useId, useState, type FormEvent } from "react";

import { connection } from "../api/connection";
import { clearCache } from "../api/http";
import { key } from "../api/key";

export function KeyForm() {
  const client = useQueryClient();
  const [rejected] = useState(() => key.read() !== null);
  const [text, setText] = useState("");
  const id = useId();

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    key.write(text.trim());
    clearCache();
    connection.set("up");
    void client.resetQueries();
  };

  return (
    <form className="card key-form" onSubmit={submit}>
      <h1>This service requires an API key</h1>
      <p className="soft">
        To create one, run this where the service runs:{" "}
        <code>kd keys create --name me --scopes read,write</code>
      </p>
      <label htmlFor={id}>API key</label>
      <div className="key-form-row">
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
        <button className="button primary">Continue</button>
      </div>
      <p
        id={`${id}-note`}
        className={rejected ? "error-text" : "soft"}
        role={rejected ? "alert" : undefined}
      >
        {rejected
          ? "This key was not accepted. It may be mistyped, expired or revoked."
          : "The key is kept in this tab only and forgotten when you close it."}
      </p>
    </form>
  );
}
