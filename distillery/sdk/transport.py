"""HTTP with keys, retries with backoff, and problems turned into errors."""

import random
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from distillery.sdk.errors import ApiError, Unreachable
from distillery.wire.common import Page, Problem
from distillery.wire.request_codes import RequestCode

V = TypeVar("V", bound=BaseModel)
Query = Mapping[str, str | int | bool | None]

BUSY = frozenset({429, 502, 503, 504})
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
PAGE_SIZE = 100
# Completing a large upload joins and hashes all of it before it answers.
TIMEOUT = httpx.Timeout(120.0, connect=5.0)
# The service sends a comment every 15 s: three missed ones mean a dead connection.
STREAM_TIMEOUT = httpx.Timeout(50.0, connect=5.0)


class Transport:
    """The address and key of one service. Threads may share it.

    A request is retried on a lost connection and on 429, 502, 503, 504, after Retry-After or a
    growing pause, until `patience_s` have passed. That is safe: every creating POST carries an
    Idempotency-Key and everything else is idempotent.
    """

    def __init__(self, url: str, key: str | None = None, *, patience_s: float = 30.0):
        self.url = _with_scheme(url)
        self.patience_s = patience_s
        self._reached = False
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(headers=headers, timeout=TIMEOUT)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def get(self, path: str, view: type[V], query: Query | None = None) -> V:
        """GET, and read the answer as `view`."""
        return self.read(self.request("GET", path, query=query), view)

    def post(
        self,
        path: str,
        view: type[V],
        body: BaseModel | Mapping[str, Any] | None = None,
        *,
        query: Query | None = None,
        idempotency_key: str | None = None,
    ) -> V:
        """POST with an Idempotency-Key (default: a new one), and read the answer as `view`."""
        content = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        answer = self.request("POST", path, query=query, json=content, headers=headers)
        return self.read(answer, view)

    def pages(self, path: str, view: type[V], query: Query | None = None) -> Iterator[V]:
        """Yield every item of a list, page by page, newest first."""
        after: str | None = None
        while True:
            page = self.get(path, Page[view], {"limit": PAGE_SIZE, **(query or {}), "after": after})  # type: ignore[valid-type]
            yield from page.data
            after = page.next_cursor
            if not page.has_more or after is None:
                return

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        content: Callable[[], Iterable[bytes]] | None = None,
        final: Collection[int] = (),
    ) -> httpx.Response:
        """Make one request, retried while that can help. Raises ApiError, Unreachable.

        `content` makes the body anew for every try. Statuses in `final` are returned, not raised.
        """

        def once() -> httpx.Response:
            return self._http.request(
                method,
                self.address(path),
                params=_present(query),
                json=json,
                headers=headers,
                content=content() if content else None,
            )

        return self.persist(once, final)

    def persist(
        self, once: Callable[[], httpx.Response], final: Collection[int] = ()
    ) -> httpx.Response:
        """Call `once` until its answer is final. Raises ApiError, Unreachable."""
        started_s = time.monotonic()
        wait_s = FIRST_WAIT_S
        while True:
            asked_wait_s: float | None = None
            try:
                answer = once()
            except httpx.HTTPError as error:
                failure: Exception = self._unreachable(error)
            else:
                self._reached = True
                if answer.status_code < 400 or answer.status_code in final:
                    return answer
                failure = ApiError(_problem(answer))
                if answer.status_code not in BUSY:
                    raise failure
                asked_wait_s = _retry_after_s(answer)
            pause_s = wait_s * random.uniform(0.7, 1.3) if asked_wait_s is None else asked_wait_s
            if time.monotonic() - started_s + pause_s > self._patience_now_s():
                raise failure
            time.sleep(pause_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], query: Query | None = None
    ) -> Iterator[httpx.Response]:
        """GET a body that is read as it comes, without retries. Raises httpx.HTTPError, and
        Unreachable once another thread has closed the client."""
        if self._http.is_closed:
            raise Unreachable("The client was closed.")
        with self._http.stream(
            "GET",
            self.address(path),
            headers=headers,
            params=_present(query),
            timeout=STREAM_TIMEOUT,
        ) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise ApiError(_problem(answer))
            self._reached = True
            yield answer

    def address(self, path: str) -> str:
        """Return the full address of `path`, which may be an `href` that starts at the host."""
        if path.startswith(("http://", "https://")):
            return path
        return self.url + (path if path.startswith("/v1/") else "/v1" + path)

    def read(self, answer: httpx.Response, view: type[V]) -> V:
        """Read the answer's body as `view`. Raises Unreachable for another server's answer."""
        try:
            return view.model_validate_json(answer.content)
        except ValidationError as error:
            raise Unreachable(
                f"{answer.url} answered, but not as a Distillery service of this version does.",
                hint=f"Check --url (KD_URL). First difference: {error.errors()[0]['msg']}",
            ) from error

    def _patience_now_s(self) -> float:
        # Without any answer so far, most likely no service runs here: fail soon.
        return self.patience_s if self._reached else min(2.0, self.patience_s)

    def _unreachable(self, error: httpx.HTTPError) -> Unreachable:
        reason = str(error) or type(error).__name__
        return Unreachable(
            f"Cannot reach a service at {self.url} ({reason}).",
            hint="Start one with `kd up`, or name another with --url or KD_URL.",
        )


def _with_scheme(url: str) -> str:
    url = url.rstrip("/").removesuffix("/v1")
    return url if "://" in url else f"http://{url}"


def _present(query: Query | None) -> dict[str, str | int | bool]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _problem(answer: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(answer.content)
    except ValidationError:
        return Problem(
            title=answer.reason_phrase,
            status=answer.status_code,
            detail=f"{answer.request.url} answered {answer.status_code} {answer.reason_phrase}",
            code=RequestCode.UNEXPECTED_ANSWER,
            next_step=RequestCode.UNEXPECTED_ANSWER.next_step,
        )


def _retry_after_s(answer: httpx.Response) -> float | None:
    text = answer.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
