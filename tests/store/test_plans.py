"""Every hot query finds its rows by an index and reads about as many as it answers."""

import shutil
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from bench.queries.cases import CASES
from bench.queries.plans import Plan, plans_of
from bench.seeds import Seeds, fill
from distillery.store.db.database import Database

SEEDS = Seeds(jobs=5000, curved=21, points=100)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database with enough in it for a planner to see which way is short."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("plans") / "distillery.sqlite"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        database = Database(f"sqlite:///{path}")
    else:
        database = Database(request.getfixturevalue("fresh_postgres_url"), timeout_s=None)
        database.migrate()
    fill(database, SEEDS)
    yield database
    database.dispose()


@pytest.mark.parametrize("name", CASES)
def test_a_hot_query_reads_what_it_answers(full: Database, name: str) -> None:
    case = CASES[name]
    plans = plans_of(full, lambda s: case.ask(s, SEEDS))
    assert plans
    wrong = [plan for plan in plans if plan.scans or plan.sorts or plan.rows > case.reads]
    assert wrong == [], "\n".join(line for plan in wrong for line in plan.lines)


def test_a_query_without_an_index_is_found_out(full: Database) -> None:
    """The check itself: it must see what is read whole, and what is sorted."""
    assert _plan(full, "SELECT id FROM jobs WHERE name = 'x'").scans == ("jobs",)
    sorting = _plan(
        full,
        "SELECT id FROM jobs WHERE tenant = 'default' AND task = 'distill' ORDER BY name LIMIT 1",
    )
    assert sorting.sorts or sorting.rows > 4000


def _plan(database: Database, statement: str) -> Plan:
    (plan,) = plans_of(database, lambda s: s.execute(text(statement)))
    return plan
