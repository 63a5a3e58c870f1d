"""The control plane against its peers, on this machine, in one run: `python -m bench.service`.

Ours: real processes, a database filled with jobs, every request with a key over HTTP. The peers:
MLflow's tracking server and Ray Jobs, installed apart in .bench/peers, and plain Celery.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import celery

from bench.machine import result_file, this_machine, today
from bench.seeds import Seeds
from bench.servers import postgresql, valkey
from bench.service import ours
from bench.service.peers import celery as plain_celery
from bench.service.peers import mlflow, ray
from bench.service.peers.venv import versions
from bench.service.report import Ours, Peer, Report, Requests, Size, lines
from bench.service.service import has_torch, service

POINTS = 4000
CURVED = 25
LISTED = (10_000, 100_000)


@contextmanager
def embedded() -> Iterator[dict[str, str]]:
    """SQLite and the local transport: what `kd up` starts."""
    yield {}


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """PostgreSQL and Valkey, one of each for one service."""
    with postgresql() as database, valkey() as broker:
        yield {"KD_DATABASE_URL": database, "KD_BROKER_URL": broker}


PLACES = {
    "embedded": (embedded, "SQLite", "the local transport"),
    "servers": (servers, "PostgreSQL", "Valkey"),
}


def measure_ours(place: str, sizes: tuple[int, ...], count: int, repeats: int) -> Ours:
    """All figures of our service in one place."""
    where, database, broker = PLACES[place]
    found = []
    for number, jobs in enumerate(sizes):
        say(f"ours on {database}, {jobs:,} jobs")
        seeds = Seeds(jobs, CURVED, POINTS)
        with where() as given, service(seeds, given) as home:
            home.start("api")
            home.wait_until_ready()
            if number == 0:
                time.sleep(2)
                memory = {"API at rest": home.memory_mib("api")}
            found.append(Size(jobs=jobs, requests=ours.requests(home, seeds, count)))
            if number == 0:
                rates = ours.ingest(home)
                pollers, followers = ours.poll(home, seeds), ours.follow(home, seeds)
                memory["API after all that"] = home.memory_mib("api")
                torch = has_torch(home.process("api"))
    with where() as given:
        start, more = _measure_start(given, repeats)
    return Ours(
        database=database,
        broker=broker,
        sizes=found,
        rates=rates,
        memory_mib=memory | more,
        torch_in_api=torch,
        pollers=pollers,
        followers=followers,
        start=start,
    )


def _measure_start(given: Mapping[str, str], repeats: int) -> tuple[Requests, dict[str, float]]:
    """Submit until running, with a worker that is there; memory of worker and reaper at rest."""
    say("submit until running")
    with service(None, given) as home:
        home.start("api", "worker", "reaper")
        home.wait_until_ready()
        time.sleep(3)
        memory = {f"{name} at rest": home.memory_mib(name) for name in ("worker", "reaper")}
        return ours.until_running(home, repeats), memory


def measure_peers(count: int, repeats: int) -> dict[str, Peer]:
    """All peers, one after another."""
    wanted = versions()
    say("MLflow")
    requests, rates, pollers = mlflow.measure(LISTED[0], POINTS, max(10, count // 4))
    found = {
        "MLflow": Peer(version=wanted["mlflow"], requests=requests, rates=rates, pollers=pollers)
    }
    say("Ray Jobs")
    requests, rates = ray.measure(repeats)
    found["Ray Jobs"] = Peer(version=wanted["ray"], requests=requests, rates=rates)
    say("Celery")
    requests, rates = plain_celery.measure()
    found["Celery with Valkey"] = Peer(version=celery.__version__, requests=requests, rates=rates)
    return found


def say(what: str) -> None:
    """What is being measured, for whoever waits."""
    print(f"... {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print the tables, write them with the machine's description."""
    parser = argparse.ArgumentParser(description="The control plane against its peers.")
    parser.add_argument("--places", nargs="+", choices=list(PLACES), default=["embedded"])
    parser.add_argument("--jobs", type=int, nargs="+", default=list(LISTED))
    parser.add_argument("--count", type=int, default=200, help="requests of each kind (200)")
    parser.add_argument("--repeats", type=int, default=10, help="jobs that are started (10)")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument("--dry-run", action="store_true", help="write no file")
    given = parser.parse_args()
    # So that whatever was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    machine = this_machine()
    report = Report(
        date=today(),
        machine=machine,
        ours=[
            measure_ours(place, tuple(given.jobs), given.count, given.repeats)
            for place in given.places
        ],
        peers={} if given.no_peers else measure_peers(given.count, given.repeats),
    )
    text = "\n".join(lines(report)) + "\n"
    print(text)
    if given.dry_run:
        return
    for suffix, content in (("json", report.model_dump_json(indent=2) + "\n"), ("md", text)):
        path = result_file("service", machine, suffix)
        path.write_text(content, encoding="utf-8")
        print(f"written to {path.relative_to(path.parents[2])}")


if __name__ == "__main__":
    main()
