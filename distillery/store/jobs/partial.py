"""Conditions that the partial indexes of `jobs` serve."""

from sqlalchemy import ColumnElement, bindparam

from distillery.store.db.tables import Job
from distillery.wire.states import State


def in_state(state: State) -> ColumnElement[bool]:
    """The job is in this state, which is written into the statement: a database that plans
    without looking at parameters would not see that a partial index holds every such job."""
    return Job.state == bindparam(None, state, literal_execute=True)
