"""Checks a component that may hang, so that no caller waits long for the result."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

OK = "ok"
FRESH_S = 1.0  # a result is reused for this long, so that frequent callers cost nothing


class HealthCheck:
    """Checks one component in a thread, one check at a time; all callers share its result.

    `check` returns `ok` or what is wrong; an exception is wrong, too.
    """

    def __init__(self, check: Callable[[], str], timeout_s: float):
        self._check = check
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._result: Future[str] | None = None
        self._started_s = 0.0

    def start(self) -> None:
        """Start a check, unless one is under way or its result is fresh."""
        with self._lock:
            now_s = time.monotonic()
            is_fresh = now_s - self._started_s < FRESH_S
            if self._result is not None and (is_fresh or not self._result.done()):
                return
            self._result, self._started_s = Future(), now_s
            # Not a thread of a pool: the exit waits for those, and this one may hang.
            threading.Thread(target=self._run, args=(self._result,), daemon=True).start()

    def result(self) -> str:
        """Return `ok`, or what is wrong; a component that does not answer in time is wrong."""
        self.start()
        result = self._result
        assert result is not None
        try:
            return result.result(timeout=self._timeout_s)
        except FutureTimeout:
            return f"no answer within {self._timeout_s:g} s"

    def _run(self, result: "Future[str]") -> None:
        try:
            result.set_result(self._check())
        except Exception as error:  # noqa: BLE001 - every driver raises its own; it is the result
            result.set_result(f"{error}" or type(error).__name__)
