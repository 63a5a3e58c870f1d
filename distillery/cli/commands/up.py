"""`kd up`: the whole service on this machine until Ctrl-C."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel

from distillery.cli.commands.common import require_extras, terminal
from distillery.cli.terminal import Terminal
from distillery.local.service import LocalService

HomeOption = Annotated[
    Path | None,
    typer.Option(
        file_okay=False, help="Folder of database, files and logs. Default: KD_HOME, or .kd."
    ),
]


def up(
    context: typer.Context,
    home: HomeOption = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Default: KD_HOST, or 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen on; 0 means any free one. Default: KD_PORT, or 8765.",
        ),
    ] = None,
    url_file: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File to write the URL to once the service is ready."),
    ] = None,
) -> None:
    """Start the whole service on this machine: API, dashboard and worker.

    Ctrl-C stops it. A running job writes a checkpoint first and resumes at the next `kd up`.
    """
    term = terminal(context)
    require_extras("kd up", "server", "train")
    settings = term.settings
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    over = threading.Event()
    service = LocalService(
        home or settings.home,
        host=host or settings.host,
        port=settings.port if port is None else port,
        on_message=lambda line: term.err.print(line, markup=False, highlight=False, soft_wrap=True),
        on_failure=over.set,
    )
    try:
        with term.err.status("Starting"):
            service.start()
        if url_file:
            url_file.write_text(service.url + "\n")
        _print_banner(term, service)
        while not over.wait(1.0):
            pass
    except KeyboardInterrupt:
        term.print("Stopping; a running job writes a checkpoint first.")
    finally:
        service.stop()
    if service.failure:
        raise service.failure
    term.print("Stopped.")


def _print_banner(term: Terminal, service: LocalService) -> None:
    if term.print_json_line({"url": service.url, "home": str(service.home)}):
        return
    lines = [
        f"[bold]Distillery is running:[/] {service.url}",
        "",
        "kd datasets push PATH --name digits",
        "kd models push FILE --architecture resnet20 --num-classes 10 --name teacher",
        "kd jobs submit --teacher teacher --student resnet8 --dataset digits --watch",
        "",
        f"[dim]Files are in {service.home}, logs in {service.logs}. Ctrl-C stops the service.[/]",
    ]
    term.out.print(Panel("\n".join(lines), expand=False), highlight=False)
