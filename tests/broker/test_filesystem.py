"""The filesystem transport: every message arrives once, whatever is in the directory."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection

from distillery.broker.app import register_transports
from distillery.broker.config import BrokerSettings
from distillery.broker.filesystem import ABANDONED_S

PUBLISHERS, CONSUMERS, EACH = 2, 2, 150


@pytest.fixture
def connection(tmp_path: Path) -> Any:
    register_transports()
    with Connection(  # type: ignore[no-untyped-call]
        BrokerSettings(home=tmp_path, broker_url=None).url
    ) as connection:
        yield connection


def take_all(connection: Any, queue: str = "jobs") -> list[Any]:
    """Take all waiting messages through kombu's simple queue."""
    taken = []
    with connection.SimpleQueue(queue) as simple:
        while simple.qsize():
            message = simple.get(timeout=1)
            message.ack()
            taken.append(message.payload)
    return taken


def put(connection: Any, *payloads: Any) -> None:
    with connection.SimpleQueue("jobs") as simple:
        for payload in payloads:
            simple.put(payload)


def test_messages_arrive_in_order_and_once(connection: Any) -> None:
    put(connection, 1, 2, 3)
    assert take_all(connection) == [1, 2, 3]
    assert take_all(connection) == []


def test_queues_are_separate(connection: Any, tmp_path: Path) -> None:
    put(connection, 1)
    assert take_all(connection, "reaper") == []
    assert take_all(connection) == [1]
    assert not list((tmp_path / "broker/jobs").iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"properties": 3}',
        b'{"body": "e30", "properties": {"body_encoding": "base64", "delivery_tag": "x"}}',
        b'{"body": "e30=", "properties": {"body_encoding": "rot13", "delivery_tag": "x"}}',
    ],
)
def test_a_malformed_message_is_rejected_and_the_next_is_read(
    connection: Any, tmp_path: Path, garbage: bytes
) -> None:
    folder = tmp_path / "broker/jobs"
    folder.mkdir(parents=True)
    (folder / "0000.json").write_bytes(garbage)
    put(connection, "good")
    assert take_all(connection) == ["good"]
    assert [path.read_bytes() for path in (folder / "rejected").iterdir()] == [garbage]


def test_an_incomplete_message_is_not_read(connection: Any, tmp_path: Path) -> None:
    put(connection, "good")
    (tmp_path / "broker/jobs/.0000.json").write_text("{")
    assert take_all(connection) == ["good"]


def test_the_file_of_a_killed_sender_is_removed(connection: Any, tmp_path: Path) -> None:
    put(connection, "whole")
    folder = tmp_path / "broker" / "jobs"
    old, new = folder / ".old", folder / ".new"
    for path in (old, new):
        path.write_text("{")
    then = time.time() - 2 * ABANDONED_S
    os.utime(old, (then, then))
    assert take_all(connection) == ["whole"]
    assert not old.exists() and new.exists()


def test_purging_empties_a_queue(connection: Any) -> None:
    put(connection, 1, 2)
    with connection.SimpleQueue("jobs") as simple:
        assert simple.clear() == 2
        assert simple.qsize() == 0


PUBLISH = """
import sys; from kombu.connection import Connection
from distillery.broker.app import register_transports; register_transports()
with Connection(sys.argv[1]) as c, c.SimpleQueue("jobs") as q:
    for n in range(int(sys.argv[3])): q.put(f"{sys.argv[2]}-{n}")
"""
CONSUME = """
import queue, sys; from kombu.connection import Connection
from distillery.broker.app import register_transports; register_transports()
with Connection(sys.argv[1]) as c, c.SimpleQueue("jobs") as q:
    while True:
        try: m = q.get(timeout=5)
        except queue.Empty: continue
        m.ack(); sys.stdout.write(m.payload + "\\n"); sys.stdout.flush()
        if m.payload == "stop": break
"""


def test_300_messages_among_four_processes_arrive_once_each(tmp_path: Path) -> None:
    url = BrokerSettings(home=tmp_path, broker_url=None).url
    consumers = [
        subprocess.Popen([sys.executable, "-c", CONSUME, url], stdout=subprocess.PIPE, text=True)
        for _ in range(CONSUMERS)
    ]
    publishers = [
        subprocess.Popen([sys.executable, "-c", PUBLISH, url, str(n), str(EACH)])
        for n in range(PUBLISHERS)
    ]
    assert [p.wait(60) for p in publishers] == [0] * PUBLISHERS
    broker = Connection(url)  # type: ignore[no-untyped-call]
    with broker as connection, connection.SimpleQueue("jobs") as simple:
        while simple.qsize():
            time.sleep(0.05)
        for _ in consumers:
            simple.put("stop")
    taken = [line for c in consumers for line in c.communicate(timeout=60)[0].split()]
    expected = [f"{n}-{m}" for n in range(PUBLISHERS) for m in range(EACH)] + ["stop"] * CONSUMERS
    assert sorted(taken) == sorted(expected)


def test_message_files_are_readable_json(connection: Any, tmp_path: Path) -> None:
    put(connection, 1)
    [path] = (tmp_path / "broker/jobs").glob("*.json")
    assert json.loads(path.read_text())["content-type"] == "application/json"
