"""Whatever workers, users, a reaper and the clock do, the job state machine does as its model.

A short form runs here, the same every time. A long one, with other examples each time:
`pytest tests/store/jobs/test_machine.py --hypothesis-profile=long -n2`.
"""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from distillery.store.db import database as db
from distillery.store.db.database import Database
from tests.store.jobs.machine import JobMachine

LONG = settings.get_current_profile_name() == "long"
SHORT = 25


@pytest.mark.timeout(0 if LONG else 1200)  # a busy machine may take its time
def test_the_state_machine_does_as_its_model(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "_NOW", dict(db._NOW))  # the machine's clock ends with this test

    class Machine(JobMachine):
        pass

    Machine.database = database
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=settings().max_examples if LONG else SHORT,
            stateful_step_count=50,
            derandomize=not LONG,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
