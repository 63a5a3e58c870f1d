"""`kd keys`: create, list and revoke bearer keys."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from distillery.cli.commands.common import terminal
from distillery.sdk.errors import UsageMistake
from distillery.wire.keys import Key, Scope

app = typer.Typer(help="Create and revoke bearer keys (scope `admin`).", no_args_is_help=True)
SCOPES: dict[str, Scope] = {"read": "read", "write": "write", "admin": "admin"}


@app.command(epilog="\b\nExample:\n  kd keys create --name ci --scopes read,write --days 90\n")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="What the key is for.", show_default=False)],
    scopes: Annotated[
        str, typer.Option(help="read, write, admin: separated by commas.")
    ] = "read,write",
    days: Annotated[
        int | None, typer.Option(min=1, help="Days until it expires. Default: never.")
    ] = None,
) -> None:
    """Create a key. Its text is shown once and cannot be recovered."""
    term = terminal(context)
    chosen = [_scope(word.strip()) for word in scopes.split(",")]
    with term.client() as client:
        key = client.keys.create(name, chosen, expires_in_s=days * 86_400 if days else None)
    if term.print_json(key):
        return
    term.print(f"{key.id}  {escape(key.name)}  {', '.join(key.scopes)}")
    term.out.out(key.key, highlight=False)
    term.print("[dim]Keep it now: it cannot be shown again. Use it with --key or KD_KEY.[/]")


@app.command("list")
def list_(context: typer.Context) -> None:
    """List all keys, without their secrets."""
    term = terminal(context)
    with term.client() as client:
        keys = list(client.keys.list())
    if term.print_json(keys):
        return
    term.print_table(
        ("id", "name", "scopes", "created", "last used", "expires", "state"),
        (
            (
                k.id,
                k.name,
                ",".join(k.scopes),
                f"{k.created_at:%Y-%m-%d}",
                f"{k.last_used_at:%Y-%m-%d %H:%M}" if k.last_used_at else "never",
                f"{k.expires_at:%Y-%m-%d}" if k.expires_at else "never",
                _validity(k),
            )
            for k in keys
        ),
        empty="No keys yet. Create one: kd keys create --name NAME",
    )


@app.command()
def revoke(
    context: typer.Context,
    key_id: Annotated[
        str, typer.Argument(metavar="KEY", help="Id of the key.", show_default=False)
    ],
) -> None:
    """Revoke a key for good."""
    term = terminal(context)
    with term.client() as client:
        client.keys.revoke(key_id)
    if not term.print_json({"revoked": key_id}):
        term.print(f"Revoked {key_id}")


def _validity(key: Key) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at < datetime.now(UTC) else "valid"


def _scope(word: str) -> Scope:
    if word not in SCOPES:
        raise UsageMistake(f"{word!r} is not a scope.", hint="Scopes are read, write and admin.")
    return SCOPES[word]
