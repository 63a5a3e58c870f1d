"""Downloads a file: to a temporary name, resumed by range, kept only if its sha256 is right."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx

from distillery.sdk.errors import ApiError, Corrupt, Unreachable
from distillery.sdk.progress import OnProgress
from distillery.sdk.transport import BUSY, LONGEST_WAIT_S, Transport
from distillery.sdk.uploads import hash_file

ReportFn = Callable[[int], None]  # bytes done


def download(
    transport: Transport,
    path: str,
    target: Path,
    *,
    sha256: str,
    size: int,
    on_progress: OnProgress | None = None,
) -> Path:
    """Fetch `path` into the file `target`, which then has `sha256`; returns `target`.

    A file that is there already is not fetched again, and a `.part` file of an earlier try is
    resumed. `on_progress(done, size)` is called in bytes. Raises Corrupt, ApiError, Unreachable.
    """
    target.parent.mkdir(parents=True, exist_ok=True)

    def report(done: int) -> None:
        if on_progress:
            on_progress(done, size)

    if target.is_file() and hash_file(target) == sha256:
        report(size)
        return target
    part = target.with_name(f"{target.name}.{sha256[:12]}.part")
    for _ in range(2):  # a bad `.part` of an earlier try costs one more round
        _fetch(transport, path, part, report)
        if hash_file(part) == sha256:
            part.replace(target)
            return target
        part.unlink()
    raise Corrupt(f"{path} does not have the sha256 {sha256}.", hint="Try again later.")


def _fetch(transport: Transport, path: str, part: Path, report: ReportFn) -> None:
    wait_s = 0.2
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            return _fetch_once(transport, path, part, before, report)
        except (httpx.HTTPError, ApiError) as error:
            if isinstance(error, ApiError) and error.problem.status not in BUSY:
                raise
            grew = part.exists() and part.stat().st_size > before
            wait_s = 0.2 if grew else wait_s * 2
            if wait_s > LONGEST_WAIT_S * 2:
                raise Unreachable(f"The download of {path} broke off ({error}).") from error
            time.sleep(wait_s)


def _fetch_once(transport: Transport, path: str, part: Path, start: int, report: ReportFn) -> None:
    headers = {"Accept-Encoding": "identity"}  # ranges count the file's own bytes
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with transport.stream(path, headers) as answer:
            resumed = answer.status_code == 206
            done = start if resumed else 0
            with part.open("ab" if resumed else "wb") as file:
                for chunk in answer.iter_raw():
                    file.write(chunk)
                    done += len(chunk)
                    report(done)
    except ApiError as error:
        if error.problem.status != 416:  # 416: the `.part` file is whole already, or too long
            raise
