"""`kd keys`: make, list and revoke bearer keys."""

from typing import Annotated

import typer

from distillery.cli.commands.common import terminal
from distillery.sdk.errors import UsageMistake
from distillery.wire.keys import KeyCreate, Scope

app = typer.Typer(help="Bearer keys (needs the scope `admin`).")
SCOPES: dict[str, Scope] = {"read": "read", "write": "write", "admin": "admin"}


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Who or what it is for.", show_default=False)],
    scopes: Annotated[str, typer.Option(help="Of read, write, admin; with commas.")] = "read,write",
    days: Annotated[int | None, typer.Option(min=1, help="Valid so long; none: for ever.")] = None,
) -> None:
    """Make a key. Its text is shown once and kept nowhere."""
    term = terminal(context)
    body = KeyCreate(
        name=name,
        scopes=[_scope(word.strip()) for word in scopes.split(",")],
        expires_in_s=days * 86_400 if days else None,
    )
    with term.client() as service:
        key = service.keys.create(body)
    if term.answered(key):
        return
    term.say(f"{key.id}  {key.name}  {', '.join(key.scopes)}")
    term.out.out(key.key, highlight=False)
    term.say("[dim]Keep it now: it cannot be shown again. Use it with --key or KD_KEY.[/]")


@app.command("list")
def list_(context: typer.Context) -> None:
    """All keys, without their secrets."""
    term = terminal(context)
    with term.client() as service:
        keys = list(service.keys.list())
    if term.answered(keys):
        return
    term.table(
        ("id", "name", "scopes", "made", "last used", "state"),
        (
            (
                k.id,
                k.name,
                ",".join(k.scopes),
                f"{k.created_at:%Y-%m-%d}",
                f"{k.last_used_at:%Y-%m-%d %H:%M}" if k.last_used_at else "never",
                "revoked" if k.revoked_at else "valid",
            )
            for k in keys
        ),
        "No keys yet: `kd keys create --name NAME`.",
    )


@app.command()
def revoke(
    context: typer.Context, key_id: Annotated[str, typer.Argument(show_default=False)]
) -> None:
    """End a key for good."""
    term = terminal(context)
    with term.client() as service:
        service.keys.revoke(key_id)
    if not term.answered({"revoked": key_id}):
        term.say(f"Revoked {key_id}")


def _scope(word: str) -> Scope:
    if word not in SCOPES:
        raise UsageMistake(f"{word!r} is no scope.", hint="Scopes are read, write and admin.")
    return SCOPES[word]
