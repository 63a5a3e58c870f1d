"""A TCP proxy in front of a database or a broker that can delay, drop or reset connections."""

import asyncio
import socket
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

Mode = Literal["pass", "slow", "hole", "refuse"]
Address = tuple[str, int] | Path  # a port, or a unix socket
CHUNK = 65_536
LINGER_0 = struct.pack("ii", 1, 0)  # close() sends a reset


class Proxy:
    """Forwards connections to `upstream` while the `with` block lasts.

    pass: forward everything. slow: forward every chunk after `delay_s`. hole: accept connections
    and drop all bytes. refuse: reset all connections, existing and new.
    """

    def __init__(self, upstream: Address, delay_s: float = 0.2):
        self._upstream = upstream
        self._delay_s = delay_s
        self._mode: Mode = "pass"
        self._links: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        self.port = started.result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def set_mode(self, mode: Mode) -> None:
        """Change the mode of all connections, existing and new."""
        self._mode = mode
        if mode == "refuse":
            self.reset()

    def reset(self) -> None:
        """Reset the existing connections; new ones are treated according to the mode."""
        self._loop.call_soon_threadsafe(self._reset_all)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        self._server.close()
        self._reset_all()
        # Every `_serve` ends with its connections.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _reset_all(self) -> None:
        for writer in self._links:
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self._mode == "refuse":
                return
            back, upstream = await self._connect()
            await asyncio.gather(self._pump(reader, upstream), self._pump(back, writer))
        except (OSError, asyncio.CancelledError):
            return
        finally:
            self._links.discard(writer)
            _reset(writer)
            if upstream is not None:
                upstream.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(self._upstream)
        return await asyncio.open_connection(*self._upstream)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            if self._mode == "slow":
                await asyncio.sleep(self._delay_s)
            if self._mode == "hole":
                continue  # lost even if the mode changes later, like packets dropped by a router
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError  # one side has closed: close the other


def _reset(writer: asyncio.StreamWriter) -> None:
    handle: socket.socket | None = writer.get_extra_info("socket")
    if handle is not None and handle.fileno() >= 0:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    writer.transport.abort()
