"""Finds the statements that a function issues, and the database's plan for each.

Statements are captured on their way to the driver, so the plans are those of what really runs.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session

from distillery.store.db.database import Database

# Tables that grow without limit; all others stay small or are accessed by their primary key.
BIG = frozenset(
    {"jobs", "events", "metric_points", "transitions", "attempts", "artifacts", "models"}
    | {"idempotency_keys", "uploads"}
)
_EXPLAINABLE = re.compile(r"\s*(SELECT|UPDATE|INSERT|DELETE|WITH)\b", re.IGNORECASE)
_SCAN = re.compile(r"\bSCAN (?P<table>\w+)")


@dataclass(frozen=True)
class Plan:
    """The plan of one statement.

    `scans`: the growing tables that are scanned. `rows`: the most rows that one step reads.
    `lines`: the plan as text. SQLite reports neither rows nor times, but `sorts`: whether rows of a
    table are sorted before the first is returned.
    """

    statement: str
    scans: tuple[str, ...]
    rows: int
    ms: float
    lines: tuple[str, ...]
    sorts: bool = False


@contextmanager
def caught(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Capture the statements, and their parameters, that the database receives in the block."""
    found: list[tuple[str, Any]] = []

    def catch(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if _EXPLAINABLE.match(statement):
            found.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", catch)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", catch)


def plans_of(database: Database, action: Callable[[Session], object]) -> list[Plan]:
    """The plans of all statements of the action; its changes are rolled back."""
    with caught(database) as found, rolled_back(database) as session:
        action(session)
    postgresql = database.engine.dialect.name == "postgresql"
    explain = _on_postgresql if postgresql else _on_sqlite
    with rolled_back(database) as session:
        connection = session.connection()
        return [explain(connection, statement, values) for statement, values in found]


@contextmanager
def rolled_back(database: Database) -> Iterator[Session]:
    """Open a session that may write and is rolled back."""
    with Session(database.engine, expire_on_commit=False) as session:
        try:
            yield session
        finally:
            session.rollback()


def _on_postgresql(connection: Connection, statement: str, parameters: Any) -> Plan:
    several = isinstance(parameters, list)
    answer = connection.exec_driver_sql(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}",
        parameters[0] if several else parameters,
    ).scalar_one()
    (root,) = answer if isinstance(answer, list) else json.loads(answer)
    nodes = list(_nodes(root["Plan"]))
    scans = [n["Relation Name"] for n in nodes if n["Node Type"].endswith("Seq Scan")]
    return Plan(
        statement,
        tuple(scan for scan in scans if scan in BIG),
        max(map(_rows, nodes)),
        root["Execution Time"] + root["Planning Time"],
        tuple(_line(node) for node in nodes),
    )


def _nodes(node: dict[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    yield node | {"depth": depth}
    for child in node.get("Plans", ()):
        yield from _nodes(child, depth + 1)


def _rows(node: dict[str, Any]) -> int:
    dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + dropped) * node["Actual Loops"])


def _line(node: dict[str, Any]) -> str:
    words = ["  " * node["depth"] + node["Node Type"]]
    words += [node[key] for key in ("Relation Name", "Index Name") if key in node]
    words.append(f"rows={_rows(node)}")
    buffers = node.get("Shared Hit Blocks", 0) + node.get("Shared Read Blocks", 0)
    return " ".join([*words, f"pages={buffers}"])


def _on_sqlite(connection: Connection, statement: str, parameters: Any) -> Plan:
    rows = connection.exec_driver_sql(
        f"EXPLAIN QUERY PLAN {statement}",
        parameters[0] if isinstance(parameters, list) else parameters,
    )
    lines = tuple(row[3] for row in rows)
    scans = tuple(m["table"] for line in lines if (m := _SCAN.search(line)) and m["table"] in BIG)
    # After a subquery that is limited, or that numbers its rows, sorting is intended.
    sorts = any("TEMP B-TREE" in line for line in lines) and lines[0].startswith("SEARCH")
    return Plan(statement, scans, 0, 0.0, lines, sorts)
