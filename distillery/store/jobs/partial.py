"""Conditions that match the partial indexes of `jobs`."""

from sqlalchemy import ColumnElement, bindparam

from distillery.store.db.tables import Job
from distillery.wire.states import State


def in_state(state: State) -> ColumnElement[bool]:
    """Return the condition that a job is in a state.

    The state is part of the statement: a database that plans without parameter values could not
    use the state's partial index otherwise.
    """
    return Job.state == bindparam(None, state, literal_execute=True)
