"""Compares the control plane with its peers on this machine: `python -m bench.service`.

Our service runs as real processes on a database filled with jobs; every request is sent over HTTP,
with a key. The peers are MLflow's tracking server and Ray Jobs, installed separately in
.bench/peers, and plain Celery.
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
    """Yield the settings of the embedded default: SQLite and the local transport."""
    yield {}


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """Run PostgreSQL and Valkey for one service; yields its settings."""
    with postgresql() as database, valkey() as broker:
        yield {"KD_DATABASE_URL": database, "KD_BROKER_URL": broker}


PLACES = {
    "embedded": (embedded, "SQLite", "the local transport"),
    "servers": (servers, "PostgreSQL", "Valkey"),
}


def measure_ours(place: str, sizes: tuple[int, ...], count: int, repeats: int) -> Ours:
    """Measure our service in one of PLACES."""
    where, database, broker = PLACES[place]
    found = []
    for number, jobs in enumerate(sizes):
        report_progress(f"ours on {database}, {jobs:,} jobs")
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
                memory["API after all requests"] = home.memory_mib("api")
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
    """Measure the time from submission to running, and the memory of an idle worker and reaper."""
    report_progress("submit until running")
    with service(None, given) as home:
        home.start("api", "worker", "reaper")
        home.wait_until_ready()
        time.sleep(3)
        memory = {f"{name} at rest": home.memory_mib(name) for name in ("worker", "reaper")}
        return ours.until_running(home, repeats), memory


def measure_peers(count: int, repeats: int) -> dict[str, Peer]:
    """Measure all peers, one after another."""
    wanted = versions()
    report_progress("MLflow")
    requests, rates, pollers = mlflow.measure(LISTED[0], POINTS, max(10, count // 4))
    found = {
        "MLflow": Peer(version=wanted["mlflow"], requests=requests, rates=rates, pollers=pollers)
    }
    report_progress("Ray Jobs")
    requests, rates = ray.measure(repeats)
    found["Ray Jobs"] = Peer(version=wanted["ray"], requests=requests, rates=rates)
    report_progress("Celery")
    requests, rates = plain_celery.measure()
    found["Celery with Valkey"] = Peer(version=celery.__version__, requests=requests, rates=rates)
    return found


def report_progress(what: str) -> None:
    """Print to stderr what is being measured."""
    print(f"... {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print the tables and write the files."""
    parser = argparse.ArgumentParser(description="Compare the control plane with its peers.")
    parser.add_argument("--places", nargs="+", choices=list(PLACES), default=["embedded"])
    parser.add_argument("--jobs", type=int, nargs="+", default=list(LISTED))
    parser.add_argument(
        "--count", type=int, default=200, help="requests of each kind (default: 200)"
    )
    parser.add_argument(
        "--repeats", type=int, default=10, help="jobs that are started (default: 10)"
    )
    parser.add_argument("--no-peers", action="store_true", help="measure only our service")
    parser.add_argument("--dry-run", action="store_true", help="do not write files")
    given = parser.parse_args()
    # Exit normally, so that all started processes are stopped.
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
