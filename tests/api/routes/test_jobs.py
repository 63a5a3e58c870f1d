"""Jobs over HTTP: submitted, listed, shown, asked to stop and go on."""

import pytest

from distillery.store import jobs
from distillery.store.jobs import events
from distillery.wire.job_codes import WaitReason
from kdcore.spec.codes import RunCode
from kdcore.spec.events import MetricsEvent
from tests.api.makers import DISTILLED, ApiHarness, ok, refused, spec
from tests.e2e.pictures import readme_spec


def test_a_job_from_submission_to_its_result(either: ApiHarness) -> None:
    dataset, teacher = either.dataset(), either.teacher()
    answer = either.http.post("/v1/jobs", json=spec(dataset, teacher, name="mine"))
    job = ok(answer)
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["terminal"], job["name"]) == ("queued", False, "mine")
    assert job["spec"]["stages"][0]["objectives"][0]["temperature"] == 4.0
    assert "name" not in job["spec"]
    assert either.notified[-1] == job["id"]
    path = f"/v1/jobs/{job['id']}"
    shown = either.http.get(path)
    assert ok(shown)["waiting"] == {
        "reason": "no_worker",
        "message": "no worker is running",
        "since": job["queued_at"],
        "next_step": WaitReason.NO_WORKER.next_step,
        "until": None,
    }
    assert int(shown.headers["retry-after"]) >= 1
    either.finish(job["id"], DISTILLED, {"weights": b"w"})
    shown = either.http.get(path)
    done = ok(shown)
    assert "retry-after" not in shown.headers
    assert (done["state"], done["terminal"], done["waiting"]) == ("succeeded", True, None)
    assert (done["gain"], done["student_accuracy"]) == (0.1, 0.9)
    assert done["result"]["student"]["architecture"] == "resnet8"
    student = ok(either.http.get(f"/v1/models/{done['student_model']}"))
    assert (student["source_job"], student["state"]) == (job["id"], "ready")
    moves = ok(either.http.get(f"{path}/transitions"))["data"]
    assert [move["target"] for move in moves] == ["queued", "running", "succeeded"]


def test_a_dry_run_makes_nothing(either: ApiHarness) -> None:
    body = spec(either.dataset(), either.teacher())
    answer = either.http.post("/v1/jobs?dry_run=true", json=body)
    checked = ok(answer)
    assert answer.status_code == 200
    assert (checked["ok"], checked["estimated_s"]) == (True, None)
    assert checked["steps"] == 2 * 2 * (90 // 64)  # arms, epochs, whole training batches
    assert checked["spec"]["seed"] == 0
    assert ok(either.http.get("/v1/jobs"))["data"] == []


def test_pages_filters_and_orders(either: ApiHarness) -> None:
    dataset = either.dataset()
    made = [ok(either.http.post("/v1/jobs", json=spec(dataset)))["id"] for _ in range(5)]
    either.finish(made[1], DISTILLED, {"weights": b"w"})
    seen, after = [], ""
    while True:
        page = ok(either.http.get(f"/v1/jobs?limit=2{after}"))
        seen += [job["id"] for job in page["data"]]
        assert page["has_more"] is (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        after = f"&after={page['next_cursor']}"
    assert seen == made[::-1]
    best = ok(either.http.get("/v1/jobs?order=gain&limit=1"))["data"]
    assert [job["id"] for job in best] == [made[1]]
    done = ok(either.http.get("/v1/jobs?state=succeeded"))["data"]
    assert [job["id"] for job in done] == [made[1]]
    inspections = ok(either.http.get("/v1/jobs?task=inspect_dataset"))["data"]
    assert [job["task"] for job in inspections] == ["inspect_dataset"]


def test_etags_follow_the_row(harness: ApiHarness) -> None:
    job = harness.submit()
    for path in (f"/v1/jobs/{job['id']}", "/v1/jobs", "/v1/models", "/v1/datasets"):
        etag = harness.http.get(path).headers["etag"]
        same = harness.http.get(path, headers={"if-none-match": f'"x", {etag}'})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    path = f"/v1/jobs/{job['id']}"
    etag = harness.http.get(path).headers["etag"]
    ok(harness.http.post(f"{path}/cancel"))
    changed = harness.http.get(path, headers={"if-none-match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


def test_cancel_pause_resume_retry(either: ApiHarness) -> None:
    path = f"/v1/jobs/{either.submit()['id']}"
    assert ok(either.http.post(f"{path}/pause"))["state"] == "paused"
    assert ok(either.http.post(f"{path}/pause"))["state"] == "paused"
    either.notified.clear()
    assert ok(either.http.post(f"{path}/resume"))["state"] == "queued"
    assert either.notified == [path.rpartition("/")[2]]
    refused(
        either.http.post(f"{path}/retry?x=1", headers={"origin": "http://e"}), 403, "cross_origin"
    )
    claim = either.claim(path.rpartition("/")[2])
    asked = either.http.post(f"{path}/cancel")
    assert asked.status_code == 202
    assert (ok(asked)["state"], ok(asked)["request"]) == ("running", "cancel")
    refused(either.http.post(f"{path}/pause"), 409, "cancelling")
    with either.database.write() as s:
        jobs.fail(s, claim, RunCode.DIVERGED, "the loss is not finite", "/stages/0")
    failed = ok(either.http.get(path))
    assert failed["error"] == {
        "code": "diverged",
        "message": "the loss is not finite",
        "pointer": "/stages/0",
        "next_step": RunCode.DIVERGED.next_step,
    }
    refused(either.http.post(f"{path}/cancel"), 409, "ended")
    assert ok(either.http.post(f"{path}/retry"))["state"] == "queued"


def test_the_list_is_small(harness: ApiHarness) -> None:
    """Numbers that move are in the list only while they move."""
    job = harness.submit()
    claim = harness.claim(job["id"])
    values = {"student/accuracy": 0.5, "student/loss": 1.0}
    with harness.database.write() as s:
        events.append(s, claim, [MetricsEvent(seq=1, at=1.0, step=3, values=values)])
    listed = ok(harness.http.get("/v1/jobs"))["data"][0]
    assert listed["latest"] == {"student/accuracy": 0.5}
    assert "spec" not in listed
    assert ok(harness.http.get(f"/v1/jobs/{job['id']}"))["latest"] == values


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry"])
def test_asking_of_no_job(shared: ApiHarness, action: str) -> None:
    refused(shared.http.post(f"/v1/jobs/job_none/{action}"), 404, "not_found")


def test_the_readmes_spec_is_taken_with_ids(harness: ApiHarness) -> None:
    body = readme_spec() | {"dataset": harness.dataset()}
    body["teachers"][0]["model"] = harness.teacher()
    assert ok(harness.http.post("/v1/jobs", json=body))["state"] == "queued"
