"""Loads weights strictly into a network of known architecture, and saves them as safetensors.

Only tensors are read. A pickled state dict is opened with torch's restricted unpickler. Anything
that could run code (pickled modules, TorchScript, `.pt2`) is recognised by its content and refused.
"""

import json
import math
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kdcore.networks.zoo import build_network
from kdcore.runtime.errors import RunError
from kdcore.runtime.named_tensors import copy_to_cpu
from kdcore.spec.codes import RunCode
from kdcore.spec.recipe import WeightsFormat
from kdcore.spec.run import Network

ZIP_MAGIC = b"PK\x03\x04"
MAX_HEADER_BYTES = 16 * 2**20
WRAPPERS = ("state_dict", "model_state_dict", "model", "model_ema", "state_dict_ema")
PREFIXES = ("module.", "model.", "_orig_mod.")
PICKLE_ADVICE = "give its state_dict(), saved as safetensors"
SHOWN_NAMES = 5
FORBIDDEN_GLOBAL = re.compile(r"(?:GLOBAL|class|global:?) ([\w.]+\.[\w.]+)")


def load_network(network: Network, path: Path, format: WeightsFormat = "safetensors") -> nn.Module:
    """Build the network and load a file's weights; every name, shape and kind of number must fit.

    Floats of another precision are converted to the network's own. Raises RunError `no_file`,
    `weights_mismatch`, `bad_weights` (another format, damaged, not finite) and `unsafe_weights`
    (could run code); and what `build_network` raises.
    """
    module = build_network(network)
    if not path.is_file():
        raise _bad(f"there is no file {path}", RunCode.NO_FILE)
    read = _read_safetensors if format == "safetensors" else _read_state_dict
    tensors = read(path)
    expected = module.state_dict()
    _check_fit(network.architecture, expected, tensors)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise _bad(f"{name} holds values that are not finite (NaN or infinity)")
    module.load_state_dict(tensors, strict=True)
    return module


def holds_exactly(path: Path, module: nn.Module) -> bool:
    """Whether a safetensors file that was loaded into `module` holds the module's number types."""
    with safe_open(path, framework="pt") as file:
        return all(
            file.get_tensor(name).dtype == tensor.dtype
            for name, tensor in module.state_dict().items()
        )


def save_weights(module: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Save all parameters and buffers as safetensors."""
    # The library writes several metadata keys in random order: with one, equal weights are equal
    # bytes, and a resumed run can be compared with another by hash.
    assert metadata is None or len(metadata) == 1, metadata
    save_file(copy_to_cpu(module.state_dict()), path, metadata=dict(metadata or {"format": "pt"}))


def _bad(message: str, code: RunCode = RunCode.BAD_WEIGHTS) -> RunError:
    return RunError(code, message, pointer="/weights")


def _check_fit(
    architecture: str, expected: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> None:
    problems = []
    if missing := expected.keys() - given.keys():
        problems.append(f"missing: {_listed(missing)}")
    if unexpected := given.keys() - expected.keys():
        problems.append(f"unexpected: {_listed(unexpected)}")
    shared = expected.keys() & given.keys()
    if reshaped := [n for n in shared if expected[n].shape != given[n].shape]:
        shapes = (f"{n} {_shape(given[n])} for {_shape(expected[n])}" for n in sorted(reshaped))
        problems.append(f"of another shape: {_listed(shapes, len(reshaped))}")
    if retyped := [n for n in shared if _kind(expected[n]) != _kind(given[n])]:
        problems.append(f"of another type: {_listed(f'{n} {given[n].dtype}' for n in retyped)}")
    if problems:
        raise _bad(
            f"the weights do not fit {architecture}; {'; '.join(problems)}",
            RunCode.WEIGHTS_MISMATCH,
        )


def _kind(tensor: Tensor) -> str:
    if tensor.is_floating_point():
        return "float"
    return "complex" if tensor.is_complex() else "integer"


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "scalar"


def _listed(names: Iterable[str], count: int | None = None) -> str:
    ordered = sorted(names)
    count = len(ordered) if count is None else count
    shown = ", ".join(ordered[:SHOWN_NAMES])
    return shown if count <= SHOWN_NAMES else f"{shown} and {count - SHOWN_NAMES} more"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    _check_header(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _bad(f"this is not a complete safetensors file: {error}") from error


def _check_header(path: Path) -> None:
    """Bound the header's length by our limit and the file's size, before anything is parsed."""
    file_bytes = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else math.inf
        if length > MAX_HEADER_BYTES or 8 + length > file_bytes:
            raise _bad(f"this is not a complete safetensors file: {_looks_like(prefix)}")
        try:
            json.loads(stream.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise _bad(
                f"this is not a safetensors file: its header is not JSON ({error})"
            ) from error


def _looks_like(prefix: bytes) -> str:
    if prefix.startswith(ZIP_MAGIC):
        return "it is a zip archive; if PyTorch wrote it, give state_dict as the format"
    if _is_pickle(prefix):
        return f"it is a pickle; {PICKLE_ADVICE}"
    if prefix.startswith(b"\x89HDF"):
        return f"it is an HDF5 file, as Keras writes; {PICKLE_ADVICE}"
    return "its header is longer than the file"


def _is_pickle(prefix: bytes) -> bool:
    return len(prefix) > 1 and prefix[0] == 0x80 and 2 <= prefix[1] <= 5


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as stream:
        prefix = stream.read(8)
    if prefix.startswith(ZIP_MAGIC):
        _check_zip(path)
    elif not _is_pickle(prefix):
        raise _bad("this is not a PyTorch state dict: it is neither a zip archive nor a pickle")
    try:
        with warnings.catch_warnings(action="ignore"):
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError as error:
        raise _refused_pickle(error) from error
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, TypeError, IndexError) as error:
        raise _bad(f"this is not a complete PyTorch state dict: {_first_line(error)}") from error
    return _unwrap(loaded)


def _refused_pickle(error: pickle.UnpicklingError) -> RunError:
    """Translate torch's message, which would explain how to load the file anyway."""
    named = FORBIDDEN_GLOBAL.search(str(error))
    what = f"would build or run {named[1]!r}" if named else "holds more than tensors, or is damaged"
    return _bad(f"the pickled file {what}; {PICKLE_ADVICE}", RunCode.UNSAFE_WEIGHTS)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _check_zip(path: Path) -> None:
    """Raise RunError unless the archive is stored, not deflated, and holds a pickle and no code."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _bad(f"this is not a complete PyTorch file: {error}") from error
    names = [m.filename.partition("/")[2] for m in members]
    if any(n.startswith("code/") or n == "constants.pkl" for n in names):
        raise _bad(
            f"this is a TorchScript module, which is code; {PICKLE_ADVICE}", RunCode.UNSAFE_WEIGHTS
        )
    if any(n.startswith(("models/", "archive_format", "archive_version")) for n in names):
        raise _bad(
            f"this is an exported program (.pt2), which is code; {PICKLE_ADVICE}",
            RunCode.UNSAFE_WEIGHTS,
        )
    if "data.pkl" not in names:
        raise _bad(f"this is a zip archive that PyTorch did not write; {PICKLE_ADVICE}")
    if any(m.compress_type != zipfile.ZIP_STORED for m in members):
        raise _bad(
            f"this is a compressed archive, which torch.save never writes; {PICKLE_ADVICE}",
            RunCode.UNSAFE_WEIGHTS,
        )


def _unwrap(loaded: object) -> dict[str, Tensor]:
    """Find the state dict inside a training checkpoint, and strip the prefixes of wrappers."""
    for _ in range(len(WRAPPERS)):
        if not isinstance(loaded, Mapping):
            break
        inner = next((loaded[w] for w in WRAPPERS if isinstance(loaded.get(w), Mapping)), None)
        if inner is None:
            break
        loaded = inner
    if not isinstance(loaded, Mapping) or not loaded:
        raise _bad(f"the file holds a {type(loaded).__name__}, not a state dict; {PICKLE_ADVICE}")
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or tensor.is_sparse:
            raise _bad(
                f"this is not a state dict: {str(name)[:100]!r} is a {type(tensor).__name__}"
            )
    tensors = dict(loaded)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
