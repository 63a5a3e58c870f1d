"""Seeded jobs are valid: the service can list and show every one."""

import shutil
from pathlib import Path

from bench.seeds import RUNNING, SERIES, Seeds, fill
from distillery.store.db.database import Database
from tests.api.makers import ApiHarness, ok

SEEDS = Seeds(jobs=240, curved=21, points=30)


def test_every_seeded_job_can_be_listed_and_shown(sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "distillery.sqlite"
    shutil.copyfile(sqlite_template, path)
    database = Database(f"sqlite:///{path}")
    fill(database, SEEDS)
    database.dispose()
    with ApiHarness(f"sqlite:///{path}", tmp_path) as harness:
        listed = [
            *ok(harness.http.get("/v1/jobs?limit=200"))["data"],
            *ok(harness.http.get("/v1/jobs?task=inspect_dataset"))["data"],
        ]
        assert len(listed) == 200 + 3
        states = {ok(harness.http.get(f"/v1/jobs/{job['id']}"))["state"] for job in listed}
        assert states == {"queued", "running", "paused", "succeeded", "failed", "cancelled"}
        assert sum(job["state"] == "running" for job in listed) == RUNNING
        best = ok(harness.http.get("/v1/jobs?order=gain&limit=2"))["data"]
        assert best[0]["gain"] >= best[1]["gain"] > 0
        curves = ok(harness.http.get(f"/v1/jobs/{SEEDS.newest}/metrics"))["series"]
        assert {one["name"]: len(one["steps"]) for one in curves} == dict.fromkeys(SERIES, 30)
        assert len(ok(harness.http.get(f"/v1/jobs/{SEEDS.newest}/events"))["data"]) == 100
