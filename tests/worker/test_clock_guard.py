"""Jumps of database time: reaping pauses after one ahead; leases still lapse after one back."""

from sqlalchemy import select, update

from distillery.store import jobs
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Job
from distillery.worker.clock_guard import ClockGuard
from tests.store.makers import claimed, new_job

HOURS_S = 2 * 3600.0


class Clocks:
    """A clock that is never set, and the database's."""

    def __init__(self) -> None:
        self.here_s = 1000.0
        self.set_s = 0.0
        self.clock_guard = ClockGuard(60, lambda: self.here_s)

    def advance(self, seconds: float) -> ClockGuard:
        """Move both clocks on and check them."""
        self.here_s += seconds
        self.clock_guard.check(int((self.here_s + self.set_s) * 1000))
        return self.clock_guard


def test_a_jump_ahead_pauses_reaping_for_one_lease() -> None:
    clocks = Clocks()
    assert clocks.advance(5).was_set and not clocks.clock_guard.is_paused, "unknown at the start"
    assert not clocks.advance(5).was_set
    clocks.set_s = HOURS_S
    assert clocks.advance(5).is_paused and clocks.clock_guard.was_set
    assert clocks.advance(50).is_paused and not clocks.clock_guard.was_set
    assert not clocks.advance(11).is_paused


def test_a_jump_back_and_a_suspend_do_not_pause_reaping() -> None:
    clocks = Clocks()
    clocks.advance(5)
    clocks.set_s = -HOURS_S
    assert clocks.advance(5).was_set and not clocks.clock_guard.is_paused
    assert not clocks.advance(HOURS_S).is_paused, "the machine was suspended: both clocks went on"
    clocks.set_s += 2
    assert not clocks.advance(5).was_set, "small steps by NTP do not count"


def test_a_lease_from_before_a_jump_back_ends_soon(database: Database) -> None:
    long, usual = claimed(database, lease_s=HOURS_S), claimed(database, lease_s=60)
    waiting = new_job(database)
    with database.write() as s:
        later = db_now(s) + int(HOURS_S * 1000)
        s.execute(update(Job).where(Job.id == waiting).values(not_before=later))
        before = s.scalar(select(Job.lease_until).where(Job.id == usual.job_id))
        jobs.clamp_leases(s, 240)
        jobs.clamp_backoffs(s)
    with database.read() as s:
        now = db_now(s)
        rows = {job.id: job for job in s.scalars(select(Job))}
    until = rows[long.job_id].lease_until
    assert until is not None and now < until <= now + 240_000
    assert rows[usual.job_id].lease_until == before
    assert rows[waiting].not_before <= now


def test_no_lease_is_reaped_while_paused(database: Database) -> None:
    claim = claimed(database, lease_s=-1)
    with database.write() as s:
        assert jobs.reap(s, reclaim=False).lapsed == []
        assert jobs.reap(s).lapsed == [claim.job_id]
