"""Derives named seeds from one, and saves and restores the states of all random generators."""

import hashlib
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor


def derive_seed(seed: int, *names: str | int) -> int:
    """Derive a seed for one purpose: a pure function of `seed` and `names`, from 0 to 2^63 - 1."""
    text = "/".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch, on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The states of all generators: torch's as tensors, Python's and NumPy's as JSON values."""
    tensors = {"cpu": torch.get_rng_state()}
    for index in range(torch.cuda.device_count()):
        tensors[f"cuda.{index}"] = torch.cuda.get_rng_state(index)
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    numpy_state = [name, np.asarray(keys).tolist(), position, has_gauss, gauss]
    return tensors, {"python": random.getstate(), "numpy": numpy_state}


def restore_random_state(tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Restore what `random_state` returned, also after a round trip through JSON."""
    version, internal, gauss = values["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = values["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(tensors["cpu"])
    for index in range(torch.cuda.device_count()):
        if f"cuda.{index}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda.{index}"], index)
