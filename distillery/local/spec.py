"""Reads a spec file, and turns one with paths into what a run reads."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from distillery.sdk.errors import UsageMistake
from distillery.sdk.folder import dataset_format
from distillery.wire.jobspec import FileSpec, FileTeacher, ModelFile, PlacedModel, distill_run
from kdcore.spec.codes import RunCode
from kdcore.spec.faults import Fault, faults_in, syntax_fault
from kdcore.spec.run import DistillRun, Network, RunDataset

M = TypeVar("M", bound=BaseModel)
CONFIG_FILE = "config.json"
NO_CONFIG = (
    f"there is no {CONFIG_FILE} beside it that describes its network; give both here: "
    '{"path": ..., "network": {"architecture": ..., "num_classes": ..., "input": ...}}'
)


class BadFile(UsageMistake):
    """A file that does not hold what it should, with every fault in it."""

    def __init__(self, path: Path, noun: str, faults: Sequence[Fault]):
        lines = [f"{f.pointer}: {f.message}" if f.pointer else f.message for f in faults]
        codes = {fault.code for fault in faults}
        hint = codes.pop().next_step if len(codes) == 1 else None
        super().__init__("\n  ".join([f"{path} is not {noun}:", *lines]), hint=hint)
        self.faults = tuple(faults)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises UsageMistake."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageMistake(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageMistake(f"{path} is not JSON: {syntax_fault(error).message}") from error
    if not isinstance(value, dict):
        raise UsageMistake(f"{path} does not hold a JSON object.")
    return value


def read_network(path: Path) -> Network:
    """The network that a `config.json` describes. Raises UsageMistake with every fault."""
    return _read(Network, path, "a network's description")


def read_file_spec(path: Path) -> FileSpec:
    """The spec in a file, checked by itself. Raises UsageMistake with every fault."""
    return _read(FileSpec, path, "a job's spec")


def run_of(spec: FileSpec, path: Path, *, device: str, threads: int | None) -> DistillRun:
    """The run of a spec that was read from `path`, with every path absolute.

    Raises UsageMistake with every place that names a file which is not there or is unknown.
    """
    base, initial = path.resolve().parent, spec.student.initial_model
    faults: list[Fault] = []
    models: list[PlacedModel] = []
    dataset: RunDataset | None = None
    for index, teacher in enumerate(spec.teachers):
        with _collecting(faults, f"/teachers/{index}/model"):
            models.append(_placed(base, teacher))
    with _collecting(faults, "/student/initial_model"):
        initial = initial and str(_file(base, initial))
    with _collecting(faults, "/dataset"):
        dataset = _dataset(base, spec.dataset)
    if faults:
        raise BadFile(path, "a spec that can run here", faults)
    assert dataset is not None
    return distill_run(spec, models, initial, dataset, device=device, threads=threads)


class _Unusable(Exception):
    """A file that a spec names cannot be used."""

    def __init__(self, message: str, code: RunCode = RunCode.NO_FILE):
        super().__init__(message)
        self.message, self.code = message, code


@contextmanager
def _collecting(faults: list[Fault], pointer: str) -> Iterator[None]:
    try:
        yield
    except _Unusable as error:
        faults.append(Fault(error.code, error.message, pointer))


def _read(kind: type[M], path: Path, noun: str) -> M:
    raw = read_object(path)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise BadFile(path, noun, faults_in(raw, error.errors(include_url=False))) from error


def _file(base: Path, name: str) -> Path:
    path = base / name
    if path.is_file():
        return path
    if name.startswith(("mdl_", "ds_")):
        raise _Unusable(f"{name} is an id of a service; send the spec there: kd jobs submit")
    raise _Unusable(f"{path} is a folder" if path.is_dir() else f"there is no file {path}")


def _placed(base: Path, teacher: FileTeacher) -> PlacedModel:
    if isinstance(teacher.model, ModelFile):
        weights, network = _file(base, teacher.model.path), teacher.model.network
    else:
        weights = _file(base, teacher.model)
        network = _network_beside(weights)
    return PlacedModel(weights.stem, network, str(weights))


def _network_beside(weights: Path) -> Network:
    for config in (weights.with_suffix(f".{CONFIG_FILE}"), weights.with_name(CONFIG_FILE)):
        if config.is_file():
            return read_network(config)
    raise _Unusable(NO_CONFIG)


def _dataset(base: Path, name: str) -> RunDataset:
    path = base / name
    path = path if path.is_dir() else _file(base, name)
    try:
        return RunDataset(path=str(path), format=dataset_format(path))
    except UsageMistake as error:
        raise _Unusable(error.message, RunCode.BAD_DATASET) from error
