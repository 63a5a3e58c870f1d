"""The Dockerfile lints, and the compose file sets only variables that a config.py knows."""

import subprocess
import sys
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
