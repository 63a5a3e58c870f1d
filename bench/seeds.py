"""Fills a database in bulk (COPY, or one transaction on SQLite) as years of use would.

Of a hundred jobs 84 have succeeded, a quarter of those without a baseline; 8 have failed, 4 were
cancelled, 2 are paused, 1 is queued and 1 is an inspection. Ids sort by age, and before every id
that the service makes.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import text

from distillery.store.db.database import Database
from distillery.store.db.tables import (
    Artifact,
    Attempt,
    Event,
    IdempotencyKey,
    Job,
    MetricPoint,
    Model,
    Table,
    Transition,
)
from distillery.wire.jobspec import JobSpec
from distillery.wire.states import State
from kdcore.spec.names import STUDENT_ACCURACY, STUDENT_LOSS, Metric
from kdcore.spec.result import DistillResult, InspectDatasetResult

TENANT = "default"
DATASET = "ds_bench"
SERIES = (
    STUDENT_LOSS,
    f"{STUDENT_LOSS}/kd",
    Metric.LEARNING_RATE.of("student"),
    STUDENT_ACCURACY,
)
EVENTS = 100  # for every job that has curves
SHA = "ab" * 32
START_MS = 1_700_000_000_000
RECENT = 50_000  # the newest jobs, which also have rows in the tables of ROWS_OF
RUNNING = 20  # the newest jobs that are running, if they have curves
_SCORE = {"accuracy": 0.9, "loss": 0.3, "samples": 10_000}
_REPORT = {
    "name": "student",
    "architecture": "resnet8x4",
    "parameters": 1_233_540,
    "size_bytes": 4_934_160,
    "latency_ms": 1.0,
    "last": _SCORE,
}
RESULT: dict[str, Any] = {
    "task": "distill",
    "split": "test",
    "teachers": [_REPORT | {"name": "teacher", "architecture": "resnet32x4"}],
    "student": _REPORT,
    "baseline": _REPORT | {"name": "baseline"},
    "gain": 0.02,
    "retention": 0.98,
    "gap_closed": 0.5,
    "network": {"architecture": "resnet8x4", "num_classes": 10},
    "artifacts": [],
    "machine": {"torch": "2", "device": "cpu", "threads": 2, "precision": "bf16"},
    "bit_exact": True,
    "seconds": {"training": 90.0},
}


@dataclass(frozen=True)
class Seeds:
    """Amounts: the `curved` newest jobs have curves with `points` points in every series."""

    jobs: int
    curved: int
    points: int = 1000

    @property
    def newest(self) -> str:
        """The id of the newest job, which is running and has curves."""
        return job_id(self.jobs - 1)

    @property
    def metric_points(self) -> int:
        """The number of points of all curves."""
        return self.curved * self.points * len(SERIES)


def job_id(number: int) -> str:
    """The id of a seeded job."""
    return f"job_00{number:024d}"


def spec_of(dataset: str = DATASET) -> dict[str, Any]:
    """A job's spec as a client posts it."""
    kd = {"method": "kd", "weight": 0.9, "temperature": 4.0}
    stage = {"epochs": 6, "objectives": [{"method": "hard_target", "weight": 0.1}, kd]}
    teacher = {"model": "mdl_bench"}
    student = {"architecture": "resnet8x4"}
    return {"teachers": [teacher], "student": student, "dataset": dataset, "stages": [stage]}


def fill(database: Database, seeds: Seeds) -> None:
    """Write all rows into an empty, migrated database."""
    _add_named(database)
    _write(database, Job, _jobs(seeds))
    recent = range(max(0, seeds.jobs - RECENT), seeds.jobs)
    for table, row in ROWS_OF.items():
        _write(database, table, (row(n, START_MS + n * 1000) for n in recent))
    curved = range(seeds.jobs - seeds.curved, seeds.jobs)
    _write(database, Event, (row for n in curved for row in _events(n)))
    _write(database, MetricPoint, (row for n in curved for row in _points(n, seeds.points)))
    if database.engine.dialect.name == "postgresql":
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(
                text("SELECT setval('transitions_id_seq', 1 + max(id)) FROM transitions")
            )
            connection.execute(text("VACUUM ANALYZE"))


def _jobs(seeds: Seeds) -> Iterator[dict[str, Any]]:
    spec = json.dumps(JobSpec.model_validate(spec_of()).model_dump(mode="json"))
    result = json.dumps(DistillResult.model_validate(RESULT).model_dump(mode="json"))
    columns = [column.name for column in Job.__table__.columns]
    blank: dict[str, Any] = dict.fromkeys(columns)
    zero = {"attempt": 1, "failures": 0, "not_before": 0, "last_event": 0, "version": 5}
    for n in range(seeds.jobs):
        at = START_MS + n * 1000
        times = {"created_at": at, "queued_at": at, "started_at": at, "updated_at": at}
        names = {"id": job_id(n), "tenant": TENANT, "name": f"resnet8x4 by hard_target + kd {n}"}
        body = {"task": "distill", "spec": spec, "latest": "{}"}
        yield blank | zero | times | names | body | _state(n, seeds, at, result)


def _state(n: int, seeds: Seeds, at: int, result: str) -> dict[str, Any]:
    """The columns of a job's state, progress and result."""
    if n >= seeds.jobs - min(RUNNING, seeds.curved):
        progress = {"arm": "student", "stage": 0, "stages": 1, "epoch": 3, "epochs": 6}
        progress |= {
            "step": 900,
            "steps": 1800,
            "images_per_s": 4211.5,
            "fraction": 0.25,
            "eta_s": 61.25,
        }
        running = {"state": State.RUNNING, "phase": "training", "worker": "w", "lease_until": 2**52}
        latest = json.dumps(dict.fromkeys(SERIES, 0.8125))
        more = {"progress": json.dumps(progress), "latest": latest, "last_event": EVENTS}
        return {**running, **more}
    match n % 100:
        case 0:
            inspection = {"task": "inspect_dataset", "spec": "{}", "subject": DATASET}
            return {"state": State.SUCCEEDED, "finished_at": at + 900, **inspection}
        case 1:
            return {"state": State.QUEUED, "started_at": None}
        case 2 | 3:
            return {"state": State.PAUSED}
        case r if r < 8:
            return {"state": State.CANCELLED, "finished_at": at + 900}
        case r if r < 16:
            error = {"code": "diverged", "message": "the loss is not finite", "pointer": None}
            return {"state": State.FAILED, "finished_at": at + 900, "error": json.dumps(error)}
        case r:
            return {"state": State.SUCCEEDED, "finished_at": at + 90_000, "result": result} | (
                _scores(n, with_baseline=r % 4 != 0)
            )


def _scores(n: int, *, with_baseline: bool) -> dict[str, Any]:
    student = 0.6 + 0.3 * (n * 2_654_435_761 % 2**32) / 2**32
    student = round(student, 4)
    made = {"student_model": f"mdl_00{n:024d}", "student_accuracy": student}
    if not with_baseline:
        return made
    baseline = round(student - 0.05 + 0.07 * (n % 97) / 97, 4)
    gain = round(student - baseline, 4)
    return made | {"teacher_accuracy": 0.91, "baseline_accuracy": baseline, "gain": gain}


def _events(n: int) -> Iterator[dict[str, Any]]:
    for number in range(1, EVENTS + 1):
        at = START_MS + n * 1000 + number
        body = json.dumps({"step": (number - 1) * 10})
        yield {"job_id": job_id(n), "id": number, "attempt": 1, "kind": "metrics", "at": at} | {
            "body": body
        }


def _points(n: int, points: int) -> Iterator[dict[str, Any]]:
    for series in SERIES:
        for step in range(points):
            value = 2.3 / (1 + step * 0.01) + (step * 7919 % 1000) / 9973
            yield {"job_id": job_id(n), "series": series, "step": step * 10} | {
                "value": value,
                "attempt": 1,
                "event": step + 1 if step < EVENTS else None,
            }


def _transition(n: int, at: int) -> dict[str, Any]:
    move = {"source": None, "target": "queued", "attempt": 0, "at": at, "message": "submitted"}
    return {"id": n + 1, "job_id": job_id(n)} | move


def _attempt(n: int, at: int) -> dict[str, Any]:
    end = {"ended_at": None, "outcome": None, "message": None, "last_seq": 0, "events": 0}
    return {"job_id": job_id(n), "number": 1, "worker": "w", "started_at": at} | end


def _artifact(n: int, at: int) -> dict[str, Any]:
    file = {"kind": "weights", "name": "student.safetensors", "media_type": "application/x"}
    place = {"id": f"art_00{n:024d}", "tenant": TENANT, "job_id": job_id(n), "created_at": at}
    return place | file | {"size": 3, "sha256": SHA, "max_abs_diff": None}


def _student(n: int, at: int) -> dict[str, Any]:
    blank: dict[str, Any] = dict.fromkeys(column.name for column in Model.__table__.columns)
    network = json.dumps({"architecture": "resnet8x4", "num_classes": 10})
    name = {"id": f"mdl_00{n:024d}", "tenant": TENANT, "name": "a student", "created_at": at}
    made = {"state": "ready", "format": "safetensors", "network": network, "version": 1}
    return blank | name | made | {"blob": SHA, "source_job": job_id(n)}


def _key(n: int, at: int) -> dict[str, Any]:
    future = 2**52  # keys are deleted a day after `created_at`
    answer = {"status": 202, "location": None, "body": "{}", "created_at": future}
    return {"tenant": TENANT, "key": f"key-{n}", "fingerprint": SHA} | answer


ROWS_OF: dict[type[Table], Callable[[int, int], dict[str, Any]]] = {
    Transition: _transition,
    Attempt: _attempt,
    Artifact: _artifact,
    Model: _student,
    IdempotencyKey: _key,
}


def _add_named(database: Database) -> None:
    """Add the dataset and the teacher that specs name."""
    info = {
        "train": 50_000,
        "test": 10_000,
        "labelled": True,
        "num_classes": 10,
        "class_names": None,
        "channels": 3,
        "height": 32,
        "width": 32,
        "uniform": True,
    }
    parsed = InspectDatasetResult.model_validate(info)
    common = {"tenant": TENANT, "name": "bench", "state": "ready", "created_at": START_MS}
    common |= {"blob": SHA, "version": 1}
    with database.write() as session:
        tables = Table.metadata.tables
        session.execute(
            tables["blobs"].insert(), {"sha256": SHA, "size": 3, "created_at": START_MS}
        )
        dataset = {"id": DATASET, "format": "npz", "info": parsed.model_dump(mode="json")}
        session.execute(tables["datasets"].insert(), common | dataset)
        network = {"architecture": "resnet32x4", "num_classes": 10}
        model = {"id": "mdl_bench", "format": "safetensors", "network": network}
        session.execute(tables["models"].insert(), common | model)


def _write(database: Database, table: type[Table], rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows that have every column, with JSON as text."""
    names = [column.name for column in table.__table__.columns]
    values = (tuple(row[name] for name in names) for row in rows)
    listed = ", ".join(names)
    raw = database.engine.raw_connection()
    try:
        driver: Any = raw.driver_connection
        if isinstance(driver, psycopg.Connection):
            with driver.cursor() as cursor:
                # The rows' references are valid; checking them would take most of the time.
                cursor.execute("SET statement_timeout = 0")
                cursor.execute("SET session_replication_role = replica")
                with cursor.copy(f"COPY {table.__tablename__} ({listed}) FROM STDIN") as copy:
                    for row in values:
                        copy.write_row(row)
                cursor.execute("RESET session_replication_role")
                cursor.execute("RESET statement_timeout")
            driver.commit()
        else:
            marks = ", ".join("?" * len(names))
            driver.execute("PRAGMA query_only = 0")
            driver.execute("BEGIN IMMEDIATE")
            statement = f"INSERT INTO {table.__tablename__} ({listed}) VALUES ({marks})"
            driver.executemany(statement, values)
            driver.execute("COMMIT")
    finally:
        raw.close()
