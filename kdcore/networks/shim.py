"""Lets torchvision's Python parts load beside a torch its compiled operators were not built for.

The registry's torchvision wheel is built for CUDA; beside a CPU-only torch its library does not
load and `import torchvision` stops at "operator torchvision::nms does not exist". Declaring the
schemas is enough for models and transforms. Import this module before torchvision or timm.
"""

import ctypes
from importlib.util import find_spec
from pathlib import Path

import torch

SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def operators_load() -> bool:
    """Whether torchvision's compiled operators fit this torch; tried by loading them."""
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    for library in sorted(Path(spec.origin).parent.glob("_C.*")):
        try:
            ctypes.CDLL(str(library))
        except OSError:
            continue
        return True
    return False


def declare_operators() -> tuple[str, ...]:
    """Declare what is missing, once; return the operators this call declared."""
    declared = []
    for name, schema in SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)
            declared.append(name)
    return tuple(declared)


if not operators_load():
    declare_operators()
