"""A real HTTP server that misbehaves by script: what no healthy service can be made to do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


class Scripted:
    """Gives one answer of the script to each request, the last one for ever; keeps the requests."""

    def __init__(self, *script: Answer):
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self._script = list(script)
        self._lock = threading.Lock()

    def take(self, handler: BaseHTTPRequestHandler) -> Answer:
        """Note the request and choose its answer."""
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self.requests.append((handler.command, handler.path, headers, body))
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]


def answer(status: int, body: bytes | str, **headers: str) -> Answer:
    """A plain answer; header names with underscores for hyphens."""
    data = body.encode() if isinstance(body, str) else body

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return give


def cut(status: int, body: bytes, promised: int, **headers: str) -> Answer:
    """An answer that breaks off: `promised` bytes announced, only `body` sent."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(promised))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return give


@contextmanager
def serve(scripted: Scripted) -> Iterator[str]:
    """The server's URL while it runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _give(self) -> None:
            scripted.take(self)(self)

        do_GET = do_POST = do_PUT = do_DELETE = _give  # their name

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
