"""Readiness reports what is broken, each component really broken; status explains waiting."""

import shutil
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import update

from distillery.api import health_check
from distillery.broker.app import make_app
from distillery.broker.config import BrokerSettings
from distillery.broker.depth import notifications_waiting
from distillery.broker.notify import Notifier
from distillery.store import jobs
from distillery.store.db.database import db_now
from distillery.store.db.tables import ReaperStatus
from distillery.store.jobs import workers
from distillery.store.ops import reaper_status
from tests.api.makers import ApiHarness, JsonObject, ok


@pytest.fixture(autouse=True)
def every_look_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_check, "FRESH_S", 0.0)


def components(harness: ApiHarness, status: int = 200) -> JsonObject:
    answer = harness.http.get("/v1/ready")
    assert answer.status_code == status, answer.text
    body: JsonObject = answer.json()
    assert body["ok"] is (status == 200)
    assert ("retry-after" in answer.headers) is (status == 503)
    return body


def settle(harness: ApiHarness) -> None:
    """A worker and a reaper that have just reported."""
    with harness.database.write() as s:
        workers.record_heartbeat(s, "w1", 2)
        reaper_status.record(s, every_s=5, took_s=0.1, reclaimed=0, blob_bytes=None)


def test_a_missing_component_beside_the_api_is_reported_but_it_is_ready(either: ApiHarness) -> None:
    body = components(either)
    assert body["status"] == "degraded"
    broken = {name for name, text in body["components"].items() if text != "ok"}
    assert broken == {"workers", "reaper"}
    settle(either)
    assert components(either)["status"] == "ok"
    with either.database.write() as s:
        s.execute(update(ReaperStatus).values(at=db_now(s) - 10**6))
    body = components(either)
    assert (body["status"], body["components"]["workers"]) == ("degraded", "ok")
    assert body["components"]["reaper"].startswith("late: it last ran 100")


def test_workers_that_take_no_job_are_reported(harness: ApiHarness) -> None:
    settle(harness)
    with harness.database.write() as s:
        workers.record_heartbeat(s, "w1", 2, "the disk is low")
    assert components(harness)["components"]["workers"] == "no worker takes a job: the disk is low"
    (worker,) = ok(harness.http.get("/v1/status"))["workers"]
    assert worker["trouble"] == "the disk is low"
    with harness.database.write() as s:
        workers.record_heartbeat(s, "w2", 1)
    assert components(harness)["components"]["workers"] == "ok"


def test_storage_that_cannot_be_written_is_down(harness: ApiHarness) -> None:
    settle(harness)
    incoming = harness.home / "blobs" / "incoming"
    shutil.rmtree(incoming)
    incoming.write_text("in the way")
    body = components(harness, 503)
    assert body["status"] == "down"
    assert "incoming" in body["components"]["blobs"]
    incoming.unlink()
    incoming.mkdir()
    assert components(harness)["components"]["blobs"] == "ok"
    assert list(incoming.iterdir()) == []


def test_a_database_that_does_not_answer_is_down(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: refused
        url = f"postgresql://u@127.0.0.1:{closed.getsockname()[1]}/d"
        with ApiHarness(url, tmp_path) as harness:
            body = components(harness, 503)
    assert body["components"]["database"] == "the database does not answer"
    for name in ("schema", "workers", "reaper"):
        assert body["components"][name] == "not known: the database does not answer"
    assert body["components"]["blobs"] == body["components"]["broker"] == "ok"


def test_a_database_without_our_schema_is_down(tmp_path: Path, sqlite_url: str) -> None:
    with ApiHarness(sqlite_url, tmp_path) as harness:
        body = components(harness, 503)
    assert body["components"]["database"] == "ok"
    assert "python -m distillery.store migrate" in body["components"]["schema"]


@pytest.fixture
def silent() -> Iterator[str]:
    """A broker that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def test_a_broker_that_is_away_or_hangs_is_reported(harness: ApiHarness, silent: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for url in (silent, f"redis://127.0.0.1:{closed.getsockname()[1]}/0"):
            app = make_app(BrokerSettings(broker_url=url))
            ready = harness.app.state.services.readiness
            ready._notifications_waiting = partial(notifications_waiting, app)
            body = components(harness)
            assert body["status"] == "degraded"
            assert body["components"]["broker"] != "ok"


@pytest.mark.parametrize("kind", ["local", "redis"])
def test_notifications_that_wait_are_counted(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = None if kind == "local" else request.getfixturevalue("broker_url")
    app = make_app(BrokerSettings(home=tmp_path, broker_url=url))
    assert notifications_waiting(app) == 0
    for _ in range(3):
        assert Notifier(app).notify("job_1")
    assert notifications_waiting(app) == 3


def test_status_counts_all_and_names_only_what_is_ones_own(either: ApiHarness) -> None:
    settle(either)
    first, second, third = (either.submit()["id"] for _ in range(3))
    either.claim(first)
    ok(either.http.post(f"/v1/jobs/{third}/pause"))
    status = ok(either.http.get("/v1/status"))
    assert status["health"]["status"] == "ok"
    assert (status["slots"], status["busy"]) == (2, 1)
    assert [worker["name"] for worker in status["workers"]] == ["w1"]
    assert status["jobs"] == {"queued": 1, "running": 1, "paused": 1}
    assert (status["oldest"]["id"], status["oldest"]["waiting"]) == (second, None)
    with either.database.write() as s:
        workers.record_heartbeat(s, "w1", 1)
    status = ok(either.http.get("/v1/status"))
    assert status["oldest"]["waiting"]["reason"] == "capacity"
    stranger = either.key("read", tenant="other")
    status = ok(either.http.get("/v1/status", headers=stranger))
    assert (status["oldest"], status["jobs"]["queued"]) == (None, 1)
    with either.database.write() as s:
        jobs.request_cancel(s, "default", second)
    assert ok(either.http.get("/v1/status"))["oldest"] is None
