"""Weights as people have them: files, PyTorch modules and state dicts, and the network they fit."""

import json
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from distillery.sdk.errors import INSTALL_NOTEBOOK, UsageMistake
from kdcore.spec.faults import faults_in
from kdcore.spec.recipe import WeightsFormat
from kdcore.spec.run import Network

MAX_HEADER_BYTES = 16 * 2**20


class Module(Protocol):
    """A `torch.nn.Module`; torch itself is not imported."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return parameters and buffers by name."""


Weights = str | Path | Module | Mapping[str, Any]


@contextmanager
def weights_file(weights: Weights) -> Iterator[Path]:
    """Yield the file itself, or a temporary model.safetensors of a module's or mapping's tensors.

    Raises UsageMistake when there is no such file.
    """
    if isinstance(weights, str | Path):
        path = Path(weights)
        if not path.is_file():
            raise UsageMistake(f"{path} is not a file.")
        yield path
        return
    tensors = weights if isinstance(weights, Mapping) else weights.state_dict()
    with tempfile.TemporaryDirectory(prefix="kd-") as scratch:
        target = Path(scratch) / "model.safetensors"
        _save(tensors, target)
        yield target


def weights_format(path: Path) -> WeightsFormat:
    """Tell the format by the name, else by the first bytes: torch.save writes a zip or a pickle."""
    if path.suffix == ".safetensors":
        return "safetensors"
    with path.open("rb") as file:
        first = file.read(2)
    torch_made = first == b"PK" or (first[:1] == b"\x80" and first[1:] <= b"\x05")
    return "state_dict" if torch_made or path.suffix in (".pt", ".pth", ".bin") else "safetensors"


def stored_network(path: Path) -> Network | None:
    """Read the network that an export of this service notes in a safetensors file's header."""
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else MAX_HEADER_BYTES + 1
        if length > MAX_HEADER_BYTES:
            return None
        header = file.read(length)
    try:
        return Network.model_validate_json(json.loads(header)["__metadata__"]["network"])
    except (ValueError, KeyError, TypeError):  # ValidationError is a ValueError
        return None


def describe_network(values: Mapping[str, Any]) -> Network:
    """Build a network's description. Raises UsageMistake that names the first wrong value."""
    try:
        return Network.model_validate(values)
    except ValidationError as error:
        first = faults_in(values, error.errors())[0]
        raise UsageMistake(
            f"This does not describe a network: {first.pointer}: {first.message}",
            hint=first.code.next_step,
        ) from error


def _save(tensors: Mapping[str, Any], target: Path) -> None:
    try:
        import numpy as np
        from safetensors.numpy import save_file
    except ImportError as error:
        raise UsageMistake(
            "Pushing a module needs safetensors and numpy, which are not installed.",
            hint=INSTALL_NOTEBOOK,
        ) from error
    save_file({name: np.asarray(_plain(t), order="C") for name, t in tensors.items()}, target)


def _plain(tensor: Any) -> Any:
    """A torch tensor as NumPy knows it (which has no bfloat16); anything else as it is."""
    if not hasattr(tensor, "detach"):
        return tensor
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
