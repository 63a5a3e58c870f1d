"""A question to a part that may hang, asked so that nobody waits long for the answer."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

OK = "ok"
FRESH_S = 1.0  # an answer is handed on for so long: whoever asks often costs nothing


class HealthCheck:
    """Asks one part in a thread, never twice at once; the answer is shared by all who wait.

    `ask` returns `ok` or what is wrong; what it raises is wrong too.
    """

    def __init__(self, ask: Callable[[], str], patience_s: float):
        self._ask = ask
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._asked: Future[str] | None = None
        self._asked_s = 0.0

    def start(self) -> None:
        """Begin to ask, unless somebody does, or just did."""
        with self._lock:
            now_s = time.monotonic()
            is_fresh = now_s - self._asked_s < FRESH_S
            if self._asked is not None and (is_fresh or not self._asked.done()):
                return
            self._asked, self._asked_s = Future(), now_s
            # Not a pool's thread: those are waited for at exit, and this one may hang.
            threading.Thread(target=self._run, args=(self._asked,), daemon=True).start()

    def answer(self) -> str:
        """What the part says, or that it says nothing."""
        self.start()
        asked = self._asked
        assert asked is not None
        try:
            return asked.result(timeout=self._patience_s)
        except FutureTimeout:
            return f"no answer within {self._patience_s:g} s"

    def _run(self, asked: "Future[str]") -> None:
        try:
            asked.set_result(self._ask())
        except Exception as error:  # noqa: BLE001 - every driver raises its own; the answer says it
            asked.set_result(f"{error}" or type(error).__name__)
