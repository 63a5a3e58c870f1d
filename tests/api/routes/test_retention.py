"""POST /v1/gc: counts or deletes expired data, the caller's or, for the operator, all."""

from typing import Any

from sqlalchemy import update

from distillery.store.db.tables import Job, Upload
from tests.api.makers import ApiHarness, ok


def kinds(answer: Any) -> dict[str, int]:
    return {kind["kind"]: kind["count"] for kind in ok(answer)["kinds"] if kind["count"]}


def old_upload(harness: ApiHarness, headers: dict[str, str]) -> str:
    """A complete upload, as if from last year."""
    upload = harness.upload(b"x", headers)
    with harness.database.write() as s:
        s.execute(update(Upload).where(Upload.id == upload).values(expires_at=1))
    return upload


def test_a_dry_run_touches_nothing(either: ApiHarness) -> None:
    upload = old_upload(either, {})
    counted = either.http.post("/v1/gc?dry_run=true")
    assert kinds(counted) == {"uploads": 1}
    assert (ok(counted)["dry_run"], ok(counted)["complete"]) == (True, True)
    ok(either.http.get(f"/v1/uploads/{upload}"))
    assert kinds(either.http.post("/v1/gc")) == {"uploads": 1}
    assert either.http.get(f"/v1/uploads/{upload}").status_code == 404
    assert kinds(either.http.post("/v1/gc")) == {}


def test_a_tenant_collects_its_own_and_the_operator_all(either: ApiHarness) -> None:
    other = either.key("admin", "write", "read", tenant="other")
    old_upload(either, {})
    theirs = old_upload(either, other)
    assert kinds(either.http.post("/v1/gc", headers=other)) == {"uploads": 1}
    assert either.http.get(f"/v1/uploads/{theirs}", headers=other).status_code == 404
    old_upload(either, other)
    assert kinds(either.http.post("/v1/gc")) == {"uploads": 2}


def test_finished_jobs_are_kept_for_ever_by_default(either: ApiHarness) -> None:
    job = either.submit()["id"]
    ok(either.http.post(f"/v1/jobs/{job}/cancel"))
    with either.database.write() as s:
        s.execute(update(Job).values(finished_at=1))
    assert "jobs" not in kinds(either.http.post("/v1/gc"))
    ok(either.http.get(f"/v1/jobs/{job}"))
