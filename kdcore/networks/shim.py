"""Makes torchvision importable beside a torch that its compiled operators were not built for.

The registry's torchvision wheel is built for CUDA. Beside a CPU-only torch its library does not
load, and `import torchvision` fails with "operator torchvision::nms does not exist". Declaring the
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
    """Whether torchvision's compiled operators fit this torch, tested by loading them."""
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
    """Declare the operators that are missing, and return those that this call declared."""
    declared = []
    for name, schema in SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)
            declared.append(name)
    return tuple(declared)


if not operators_load():
    declare_operators()
