"""Metrics: requests by their route's template, the store's counts, and nothing that grows."""

from prometheus_client.parser import text_string_to_metric_families

from distillery.store.jobs import workers
from distillery.store.ops import reaper_status
from tests.api.makers import ApiHarness, ok, refused

Samples = dict[tuple[str, tuple[str, ...]], float]


def scrape(harness: ApiHarness) -> Samples:
    """Every sample by its name and the values of its labels."""
    answer = harness.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_template(harness: ApiHarness) -> None:
    job = harness.submit()["id"]
    for path in (f"/v1/jobs/{job}", "/v1/jobs/job_0", "/v1/jobs/job_1", "/some/page", "/x"):
        harness.http.get(path)
    harness.http.request("BREW", "/v1/jobs")
    seen = scrape(harness)
    asked = "kd_http_requests_total"
    assert seen[asked, ("GET", "/v1/jobs/{job_id}", "200")] == 1
    assert seen[asked, ("GET", "/v1/jobs/{job_id}", "404")] == 2
    assert seen[asked, ("GET", "(none)", "200")] == 2
    assert seen[asked, ("other", "/v1/jobs", "405")] == 1
    assert seen["kd_http_request_seconds_count", ("GET", "/v1/jobs/{job_id}")] == 3
    text = harness.http.get("/metrics").text
    assert job not in text and "job_0" not in text and "default" not in text


def test_the_store_is_counted(either: ApiHarness) -> None:
    with either.database.write() as s:
        workers.record_heartbeat(s, "w1", 3)
        reaper_status.record(s, every_s=5, took_s=0.25, reclaimed=2, blob_bytes=123)
    first, _, third = (either.submit()["id"] for _ in range(3))
    either.claim(first)
    ok(either.http.post(f"/v1/jobs/{third}/pause"))
    either.teacher()  # its inspection has succeeded: it is counted nowhere
    seen = scrape(either)
    assert {key[1]: value for key, value in seen.items() if key[0] == "kd_jobs" and value} == {
        ("queued", "distill"): 1,
        ("running", "distill"): 1,
        ("paused", "distill"): 1,
    }
    assert 0 < seen["kd_oldest_queued_seconds", ()] < 600
    assert seen["kd_worker_slots", ()] == 3
    assert seen["kd_leases_reclaimed_total", ()] == 2
    assert seen["kd_reaper_duration_seconds", ()] == 0.25
    assert seen["kd_blob_bytes", ()] == 123
    assert seen["kd_disk_free_bytes", ()] > 0
    assert seen["kd_notifications_waiting", ()] == 0
    parts = {key[1][0]: value for key, value in seen.items() if key[0] == "kd_component_up"}
    assert set(parts) >= {"database", "blobs", "broker", "workers", "reaper"}
    assert set(parts.values()) == {1.0}


def test_they_are_for_whoever_administers(shared: ApiHarness) -> None:
    refused(shared.http.get("/metrics", headers=shared.key("read", "write")), 403, "missing_scope")
    refused(shared.http.get("/metrics", headers={"x-forwarded-for": "::1"}), 401, "unauthorized")
    assert shared.http.get("/metrics", headers=shared.key("admin")).status_code == 200
