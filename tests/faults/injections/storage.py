"""Storage that fails or loses bytes, and an API that is killed during a request."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import httpx

from distillery.sdk.client import Client
from tests.e2e.service import wait_until
from tests.faults.fault import fault
from tests.faults.front import url_of
from tests.faults.injections.disk import hashes_match
from tests.faults.scenario import FaultScenario

PART_BYTES = 8 << 20


@fault("F17", "blob writes fail", standin=True)
def blob_writes_fail(scenario: FaultScenario, draw: Random) -> str:
    """One I/O error in the worker and one in the API: the write is retried."""
    place = draw.choice(("blob.writing", "blob.renaming", "blob.renamed"))
    scenario.service.restart("jobs", KD_FAILPOINT=f"{place}:error")
    ended = scenario.finish(scenario.submit())
    assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    scenario.service.restart("api", KD_FAILPOINT=f"{place}:error")
    file = _file(scenario, draw, 1 << 20)
    assert scenario.client.uploads.send(file).state == "complete"
    log = (scenario.folder / "home" / "jobs.log").read_text()
    assert "failed, retrying in" in log
    _no_incomplete_blob(scenario)
    return place


@fault("F17", "blob truncated or missing", standin=True)
def blob_damaged(scenario: FaultScenario, draw: Random) -> str:
    """The dataset's blob is damaged: the job fails with that code, and a retry works later."""
    sha256 = scenario.client.datasets.get(scenario.spec()["dataset"]).sha256
    blob = scenario.folder / "home" / "blobs" / sha256[:2] / sha256[2:4] / sha256
    aside = blob.with_suffix(".aside")
    blob.rename(aside)
    code = draw.choice(("blob_damaged", "blob_missing"))
    if code == "blob_damaged":
        blob.write_bytes(aside.read_bytes()[: draw.randrange(aside.stat().st_size)])
    job = scenario.finish(scenario.submit())
    assert job.state == "failed" and job.error is not None, job.state
    assert job.error.code == code, job.error
    aside.replace(blob)
    scenario.client.jobs.get(job.id).retry()
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    return code


@fault("F18", "API killed during an upload", standin=True)
def api_killed_in_upload(scenario: FaultScenario, draw: Random) -> str:
    """Some parts are stored, one is incomplete: only the missing ones are sent again."""
    file = _file(scenario, draw, 2 * PART_BYTES + draw.randrange(1, PART_BYTES))
    place = draw.choice(
        ("part.keeping@2", "blob.writing", "blob.renamed", "creation.committed", "")
    )
    if place:
        scenario.service.restart("api", KD_FAILPOINT=place)
    else:
        _half_a_part(scenario, file)
    with _restarted(scenario):
        upload = scenario.client.uploads.send(file)
    assert upload.state == "complete"
    assert scenario.client.uploads.send(file).id == upload.id, "one key, one upload"
    wait_until(
        lambda: not (scenario.folder / "home" / "uploads" / upload.id).exists(),
        30,
        "no part is left",
    )
    return place or "within a part"


@fault("F18", "API killed during a submission", standin=True)
def api_killed_in_submit(scenario: FaultScenario, draw: Random) -> str:
    """The client retries with its key: one job."""
    place = draw.choice(
        ("creation.committing", "creation.committed", "notification.sending", "notification.sent")
    )
    scenario.service.restart("api", KD_FAILPOINT=place)
    with _restarted(scenario):
        job = scenario.submit()
    named = [each.id for each in scenario.client.jobs.list() if each.name == job.name]
    assert named == [job.id], "one key, one job"
    ended = scenario.finish(job)
    assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    return place


@contextmanager
def _restarted(scenario: FaultScenario) -> Iterator[None]:
    """Restart the API once it has died."""
    service = scenario.service
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            if service.poll("api") is not None:
                service.start_as("api", "api")
                return

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
        wait_until(lambda: not watching.is_alive(), 30, "the API was killed")
    finally:
        over.set()
        watching.join()


def _half_a_part(scenario: FaultScenario, file: Path) -> None:
    """Open an upload as the client does, send half of a part, and kill the API."""
    killed = threading.Event()

    upload = Client(url_of(scenario)).uploads._open(file, file.stat().st_size, _sha256(file))

    def content() -> Iterator[bytes]:
        yield file.read_bytes()[: PART_BYTES // 2]
        wait_until(lambda: list(folder.glob("*.incoming")), 30, "half a part is stored")
        scenario.service.kill("api")
        killed.set()
        yield file.read_bytes()[PART_BYTES // 2 : PART_BYTES]  # not received

    folder = scenario.folder / "home" / "uploads" / upload.id
    with suppress(httpx.HTTPError), httpx.Client(base_url=url_of(scenario)) as http:
        http.put(
            f"/v1/uploads/{upload.id}/parts/1",
            content=content(),
            headers={"Content-Length": str(PART_BYTES)},
        )
    assert killed.is_set()


def _sha256(file: Path) -> str:
    from distillery.sdk.uploads import hash_file

    return hash_file(file)


def _file(scenario: FaultScenario, draw: Random, size: int) -> Path:
    file = scenario.folder / f"upload-{draw.randrange(1 << 32)}.bin"
    file.write_bytes(draw.randbytes(size))
    return file


def _no_incomplete_blob(scenario: FaultScenario) -> None:
    blobs = scenario.folder / "home" / "blobs"
    assert not list((blobs / "incoming").iterdir()), "no incomplete file is left"
    hashes_match(blobs)
