"""Real processes: the port is printed, an open door is refused, slow and broken clients are met."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest

from distillery.api.__main__ import main
from distillery.api.config import ApiSettings
from distillery.api.server import serve, startup_error
from distillery.store import keys
from distillery.store.config import StoreSettings
from distillery.store.db.database import Database

ROOT = Path(__file__).parents[2]


def environment(home: Path, **variables: str) -> dict[str, str]:
    """What the process reads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KD_")}
    return kept | {"KD_HOME": str(home)} | variables


def start(home: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    """`python -m distillery.api`."""
    command = [sys.executable, "-m", "distillery.api", *arguments]
    pipe = subprocess.PIPE
    env = environment(home, **variables)
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True)


def first_line(pipe: IO[str] | None) -> str:
    """The next line of a process."""
    assert pipe is not None
    return pipe.readline()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a migrated database."""
    database = Database(f"sqlite:///{tmp_path / 'distillery.sqlite'}")
    database.migrate()
    database.dispose()
    return tmp_path


@pytest.fixture
def url(home: Path) -> Iterator[str]:
    """A server for its local user on a port of its own choice."""
    variables = {"KD_LOCAL_USER": "true", "KD_PART_STALL_S": "0.3", "KD_BODY_TIMEOUT_S": "0.3"}
    process = start(home, "--port", "0", **variables)
    found = re.fullmatch(
        r"Distillery listens on (http://127\.0\.0\.1:\d+)\n", first_line(process.stdout)
    )
    assert found, process.stderr and process.stderr.read()
    yield found[1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) in (0, -signal.SIGTERM)
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


def test_a_real_server(url: str, home: Path) -> None:
    with httpx.Client(base_url=url) as http:
        assert http.get("/v1/ready").json()["ok"]
        content = bytes(9_000_000)
        upload = http.post("/v1/uploads", json={"size": len(content)}).json()
        for number in (2, 1):
            piece = content[(number - 1) * upload["part_size"] : number * upload["part_size"]]
            sent = http.put(f"/v1/uploads/{upload['id']}/parts/{number}", content=piece)
            assert sent.status_code == 200, sent.text
        done = http.post(f"/v1/uploads/{upload['id']}/complete").json()
        assert done["state"] == "complete"
        another = http.post("/v1/uploads", json={"size": 10}).json()["id"]
    part = f"PUT /v1/uploads/{another}/parts/1 HTTP/1.1\r\nhost: localhost\r\n"
    part += "content-length: 10\r\n\r\n12"
    assert b" 408 " in talk(url, part)
    json_body = "POST /v1/uploads HTTP/1.1\r\nhost: localhost\r\n"
    json_body += 'content-type: application/json\r\ncontent-length: 10\r\n\r\n{"'
    assert b" 408 " in talk(url, json_body)
    assert b" 421 " in talk(url, "GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n")
    talk(url, part, wait=False)
    with httpx.Client(base_url=url) as http:
        assert http.get(f"/v1/uploads/{another}").json()["parts"] == []
    until = time.monotonic() + 10
    while list((home / "uploads" / another).glob("*")):  # until the server sees us gone
        assert time.monotonic() < until
        time.sleep(0.01)


def talk(url: str, text: str, *, wait: bool = True) -> bytes:
    """The first bytes of the response to raw bytes; without `wait`, disconnect immediately."""
    at = httpx.URL(url)
    with socket.create_connection((at.host, at.port or 0), timeout=5) as connection:
        connection.sendall(text.encode())
        return connection.recv(100) if wait else b""


def test_an_open_door_without_keys_is_refused(home: Path) -> None:
    process = start(home, "--host", "0.0.0.0", "--port", "0")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "there are no API keys" in errors
    assert "store keys create" in errors


def test_with_a_key_the_door_may_open(home: Path) -> None:
    store = StoreSettings(home=home)
    everywhere = ApiSettings(host="0.0.0.0")
    assert "there are no API keys" in (startup_error(everywhere, store) or "")
    database = Database(store.database)
    with database.write() as s:
        key, _ = keys.create(s, "default", "test", ["read"])
    assert startup_error(everywhere, store) is None
    with database.write() as s:
        keys.revoke(s, "default", key.id)
    database.dispose()
    assert "there are no API keys" in (startup_error(everywhere, store) or "")


def test_a_local_user_elsewhere_than_on_loopback_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ApiSettings(host="0.0.0.0", local_user=True)
    assert serve(settings, StoreSettings(home=home)) == 2
    assert "not loopback" in capsys.readouterr().err


def test_a_database_without_tables_is_refused_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve(ApiSettings(), StoreSettings(home=tmp_path)) == 2
    assert "python -m distillery.store migrate" in capsys.readouterr().err


def test_a_database_that_does_not_answer_is_waited_for(home: Path) -> None:
    away = home / "away"
    (home / "distillery.sqlite").rename(away)
    (home / "distillery.sqlite").mkdir()  # no database can be opened here
    process = start(home, "--port", "0", KD_LOCAL_USER="true")
    try:
        for _ in range(2):
            line = first_line(process.stderr)
            assert (
                line.startswith("Distillery waits for its database: ") and "unable to open" in line
            )
        (home / "distillery.sqlite").rmdir()
        away.rename(home / "distillery.sqlite")
        assert first_line(process.stdout).startswith("Distillery listens on ")
    finally:
        process.kill()
        process.communicate()


def test_openapi_needs_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KD_HOME", str(tmp_path))
    monkeypatch.setenv("KD_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/x")
    assert main(["openapi"]) == 0
    assert "/v1/jobs" in json.loads(capsys.readouterr().out)["paths"]
    assert list(tmp_path.iterdir()) == []
