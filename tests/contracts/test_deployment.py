"""The files that deploy and check us name programs, settings, extras and commands that exist."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from pydantic_settings import BaseSettings

from distillery.api.config import ApiSettings
from distillery.broker.config import BrokerSettings
from distillery.store.config import Retention, StoreSettings
from distillery.telemetry.config import TelemetrySettings
from distillery.worker.config import WorkerSettings
from tests.contracts.trees import ROOT

SETTINGS: tuple[type[BaseSettings], ...] = (
    ApiSettings,
    BrokerSettings,
    Retention,
    StoreSettings,
    TelemetrySettings,
    WorkerSettings,
)


def _known() -> set[str]:
    return {
        f"{settings.model_config.get('env_prefix', '')}{field}".upper()
        for settings in SETTINGS
        for field in settings.model_fields
    }


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [str(hadolint), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_variable_of_the_compose_file_is_a_setting() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    variables = {
        key
        for service in compose["services"].values()
        for key in service.get("environment", {})
        if key.startswith("KD_")
    }
    assert variables
    assert variables - _known() == set()


def test_every_service_of_ours_names_a_target_of_the_dockerfile() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    targets = {
        service["build"]["target"] for service in compose["services"].values() if "build" in service
    }
    assert targets == {"api", "worker"}
    for target in targets:
        assert f" AS {target}\n" in dockerfile


def test_every_program_that_they_start_exists() -> None:
    lines = (ROOT / "Dockerfile").read_text() + (ROOT / "docker-compose.yml").read_text()
    modules = set(re.findall(r'"-m", "([\w.]+)"', lines))
    assert modules == {"distillery.api", "distillery.store", "distillery.worker"}
    for module in modules:
        assert importlib.util.find_spec(f"{module}.__main__"), module


def test_the_images_install_extras_that_exist() -> None:
    installed = re.findall(r"\.whl\)\[([\w,]+)\]", (ROOT / "Dockerfile").read_text())
    assert len(installed) == 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {extra for names in installed for extra in names.split(",")}
    assert extras <= set(project["optional-dependencies"])


def test_hosted_checks_run_what_lands_a_change() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    assert commands == ["bash .ci/run"]


def test_hooks_before_a_commit_run_the_tools_of_make_check() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]  # no versions beside ours
    hooks = {hook["entry"].split()[0] for hook in config["repos"][0]["hooks"]}
    tools = re.findall(r"\$\(BIN\)/([\w-]+)", (ROOT / "Makefile").read_text().split("check:")[1])
    assert hooks == {f".venv/bin/{tool}" for tool in tools[:4]}
