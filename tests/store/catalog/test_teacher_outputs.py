"""Teachers' outputs: found by tenant, teacher and dataset; bounded in size and in time."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.store.catalog import teacher_outputs
from distillery.store.catalog.teacher_outputs import NewOutput
from distillery.store.db.database import Database
from distillery.store.db.tables import Blob, TeacherOutput
from distillery.store.ops.retention import outputs
from distillery.store.ops.retention.blobs import delete_rows, unreferenced
from distillery.store.ops.retention.usage import Usage
from tests.store.makers import TENANT

TEACHER, DATASET = "a" * 64, "d" * 64
LARGE = 2**40


def output(key: str, blob: str, size: int = 10, teacher: str = TEACHER) -> NewOutput:
    return NewOutput(key * 64, teacher, DATASET, blob * 64, size)


def keep(database: Database, *new: NewOutput, tenant: str = TENANT, bound: int = LARGE) -> set[str]:
    """Keep them; the blobs that nothing names then, which are gone afterwards."""
    with database.write() as s:
        teacher_outputs.save(s, tenant, new, [], bound)
        return {sha256[0] for sha256 in drop(s)}


def drop(s: Session) -> list[str]:
    """Let blobs go that nothing names; those that went."""
    return [stored.sha256 for stored in delete_rows(s, unreferenced(s, -1, "")[0], -1)]


def usage(database: Database, *teachers: str, tenant: str = TENANT) -> list[str]:
    with database.read() as s:
        rows = teacher_outputs.find(s, tenant, teachers or (TEACHER,), DATASET)
        return [row.key[0] + row.blob[0] for row in rows]


def age(s: Session, key: str, used_at: int) -> None:
    row = s.scalars(select(TeacherOutput).where(TeacherOutput.key == key * 64)).one()
    row.used_at = used_at


def blobs_of(database: Database) -> set[str]:
    with database.read() as s:
        return {sha256[0] for sha256 in s.scalars(select(Blob.sha256))}


def test_they_are_found_by_teacher_and_dataset_and_never_by_another_tenant(
    database: Database,
) -> None:
    keep(database, output("1", "5"), output("2", "6", teacher="b" * 64))
    assert usage(database) == ["15"]
    assert usage(database, TEACHER, "b" * 64) == ["15", "26"]
    assert usage(database, tenant="other") == []
    with database.read() as s:
        assert not teacher_outputs.find(s, TENANT, [TEACHER], "e" * 64)


def test_a_grown_file_takes_the_place_of_the_older(database: Database) -> None:
    keep(database, output("1", "5"))
    assert keep(database, output("1", "6")) == {"5"}
    assert usage(database) == ["16"] and blobs_of(database) == {"6"}


def test_the_same_bytes_again_are_not_deleted(database: Database) -> None:
    keep(database, output("1", "5"))
    assert keep(database, output("1", "5")) == set()
    assert usage(database) == ["15"] and blobs_of(database) == {"5"}


def test_two_tenants_share_bytes_but_no_rows(database: Database) -> None:
    keep(database, output("1", "5"))
    keep(database, output("1", "5"), tenant="other")
    assert keep(database, output("1", "6"), tenant="other") == set(), "ours still points at it"
    assert usage(database) == ["15"] and usage(database, tenant="other") == ["16"]


def test_beyond_the_bound_the_longest_unused_go(database: Database) -> None:
    keep(database, output("1", "5"), output("2", "6"), output("3", "7"))
    with database.write() as s:
        age(s, "1", 2)
        age(s, "2", 1)
        teacher_outputs.save(s, TENANT, [], ["2" * 64], LARGE)  # used again
    assert keep(database, output("4", "8"), bound=35) == {"5"}
    assert usage(database) == ["26", "37", "48"] and blobs_of(database) == {"6", "7", "8"}
    assert keep(database, output("5", "9"), tenant="other", bound=10) == set()


def test_what_no_job_uses_for_long_expires(database: Database) -> None:
    keep(database, output("1", "5"), output("2", "6"))
    with database.write() as s:
        age(s, "1", 1)
        assert outputs.collect(s, None, 3600) == (Usage("teacher_outputs", 1, 10), False)
        assert drop(s) == ["5" * 64]
    assert usage(database) == ["26"] and blobs_of(database) == {"6"}
