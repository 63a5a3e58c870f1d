"""The log of a real API process: a line per request with its ids, in JSON, without any secret."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import httpx

from distillery.store import keys
from distillery.store.db.database import Database
from tests.api.test_server import first_line, start

CANARY = "kd_canary-that-must-not-be-logged"


def test_a_line_per_request_with_its_ids_and_no_secret(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'distillery.sqlite'}")
    database.migrate()
    with database.write() as s:
        _, token = keys.create(s, "acme", "test", ["read", "write"])
    database.dispose()
    process = start(tmp_path, "--port", "0", KD_LOG_FORMAT="json")
    found = re.search(r"http://\S+", first_line(process.stdout))
    assert found
    with httpx.Client(base_url=found[0], headers={"X-Request-Id": "abc-1"}) as http:
        mine = {"Authorization": f"Bearer {token}"}
        missing = http.get(f"/v1/jobs/job_0?after={CANARY}", headers=mine)
        assert missing.status_code == 404
        assert missing.json()["request_id"] == missing.headers["x-request-id"] == "abc-1"
        bad = http.get("/v1/jobs", headers={"Authorization": CANARY, "X-Request-Id": "no good"})
        made = bad.json()["request_id"]
        assert bad.headers["x-request-id"] == made != "no good"
        http.get("/v1/health")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert CANARY not in errors and token not in errors
    lines: list[dict[str, Any]] = [json.loads(line) for line in errors.splitlines()]
    access = [line for line in lines if line["logger"] == "api.access"]
    assert [line["request_id"] for line in access] == [
        "abc-1",
        made,
    ]  # health checks are not logged
    first, second = access
    assert (first["route"], first["status"]) == ("/v1/jobs/{job_id}", 404)
    assert (first["tenant"], first["job"], first["level"]) == ("acme", "job_0", "INFO")
    assert first["duration_ms"] > 0
    assert (second["route"], second["status"]) == ("/v1/jobs", 401)
    assert "tenant" not in second
