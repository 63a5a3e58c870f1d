"""Storage that fails or loses bytes, and an API that is killed in the middle of a request."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import httpx

from distillery.sdk.client import Client
from tests.e2e.service import wait_until
from tests.faults.acts.disk import _hashes_fit
from tests.faults.fault import fault
from tests.faults.front import url_of
from tests.faults.scene import Scene

PART_BYTES = 8 << 20


@fault("F17", "blob writes fail", standin=True)
def blob_writes_fail(scene: Scene, draw: Random) -> str:
    """An I/O error once, in the worker and in the API: the write is made again."""
    place = draw.choice(("blob.writing", "blob.renaming", "blob.renamed"))
    scene.service.restart("jobs", KD_FAILPOINT=f"{place}:error")
    ended = scene.finish(scene.submit())
    assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    scene.service.restart("api", KD_FAILPOINT=f"{place}:error")
    file = _file(scene, draw, 1 << 20)
    assert scene.client.uploads.send(file).state == "complete"
    log = (scene.folder / "home" / "jobs.log").read_text()
    assert "is stored again" in log
    _nothing_left(scene)
    return place


@fault("F17", "blob truncated or missing", standin=True)
def blob_damaged(scene: Scene, draw: Random) -> str:
    """The dataset's bytes are not what they were: the job fails by name, and works later."""
    sha256 = scene.client.datasets.get(scene.spec()["dataset"]).sha256
    blob = scene.folder / "home" / "blobs" / sha256[:2] / sha256[2:4] / sha256
    aside = blob.with_suffix(".aside")
    blob.rename(aside)
    code = draw.choice(("blob_damaged", "blob_missing"))
    if code == "blob_damaged":
        blob.write_bytes(aside.read_bytes()[: draw.randrange(aside.stat().st_size)])
    job = scene.finish(scene.submit())
    assert job.state == "failed" and job.error is not None, job.state
    assert job.error.code == code, job.error
    aside.replace(blob)
    scene.client.jobs.retry(job.id)
    ended = scene.finish(job)
    assert ended.state == "succeeded", ended.error
    return code


@fault("F18", "API killed in the middle of an upload", standin=True)
def api_killed_in_upload(scene: Scene, draw: Random) -> str:
    """Some parts are there, one is half there: only what is missing is sent again."""
    file = _file(scene, draw, 2 * PART_BYTES + draw.randrange(1, PART_BYTES))
    place = draw.choice(
        ("part.keeping@2", "blob.writing", "blob.renamed", "creation.committed", "")
    )
    if place:
        scene.service.restart("api", KD_FAILPOINT=place)
    else:
        _half_a_part(scene, file)
    with _started_again(scene):
        upload = scene.client.uploads.send(file)
    assert upload.state == "complete"
    assert scene.client.uploads.send(file).id == upload.id, "one key, one upload"
    wait_until(
        lambda: not (scene.folder / "home" / "uploads" / upload.id).exists(), 30, "no part stays"
    )
    return place or "within a part"


@fault("F18", "API killed in the middle of a submission", standin=True)
def api_killed_in_submit(scene: Scene, draw: Random) -> str:
    """The client asks again with its key: one job."""
    place = draw.choice(("creation.committing", "creation.committed", "ring.sending", "ring.sent"))
    scene.service.restart("api", KD_FAILPOINT=place)
    with _started_again(scene):
        job = scene.submit()
    named = [one.id for one in scene.client.jobs.list() if one.name == job.name]
    assert named == [job.id], "one key, one job"
    ended = scene.finish(job)
    assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    return place


@contextmanager
def _started_again(scene: Scene) -> Iterator[None]:
    """Somebody starts the API again once it has died."""
    service = scene.service
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


def _half_a_part(scene: Scene, file: Path) -> None:
    """Announce the file as the client does, send half of a part, and kill the API meanwhile."""
    killed = threading.Event()

    class Patient(Client):
        """Stops where the real one would send the first part."""

    client = Patient(url_of(scene))
    sender = client.uploads
    upload = sender._open(file, file.stat().st_size, _sha256(file))

    def content() -> Iterator[bytes]:
        yield file.read_bytes()[: PART_BYTES // 2]
        wait_until(lambda: list(folder.glob("*.incoming")), 30, "half a part is there")
        scene.service.kill("api")
        killed.set()
        yield file.read_bytes()[PART_BYTES // 2 : PART_BYTES]  # to nobody

    folder = scene.folder / "home" / "uploads" / upload.id
    with suppress(httpx.HTTPError), httpx.Client(base_url=url_of(scene)) as http:
        http.put(
            f"/v1/uploads/{upload.id}/parts/1",
            content=content(),
            headers={"Content-Length": str(PART_BYTES)},
        )
    assert killed.is_set()


def _sha256(file: Path) -> str:
    from distillery.sdk.uploads import hash_file

    return hash_file(file)


def _file(scene: Scene, draw: Random, size: int) -> Path:
    file = scene.folder / f"upload-{draw.randrange(1 << 32)}.bin"
    file.write_bytes(draw.randbytes(size))
    return file


def _nothing_left(scene: Scene) -> None:
    blobs = scene.folder / "home" / "blobs"
    assert not list((blobs / "incoming").iterdir()), "nothing half-written stays"
    _hashes_fit(blobs)
