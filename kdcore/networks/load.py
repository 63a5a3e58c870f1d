"""Loads an exported network for use: `network = load_student("student/")`."""

# B batch, C channels, H height, W width, K classes

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from kdcore.networks.weights import load_network
from kdcore.runtime.errors import RunError
from kdcore.spec.codes import RunCode
from kdcore.spec.run import Input, Network

STUDENT_FILE = "student.safetensors"


class Normalised(nn.Module):
    """A network behind its normalisation: logits_BK from raw images in [0, 1]."""

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(self, network: nn.Module, input: Input):
        super().__init__()
        self.network = network
        for name, value in (("mean_C11", input.mean), ("std_C11", input.std)):
            self.register_buffer(name, torch.tensor(value).view(-1, 1, 1))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = self.network((image_BCHW - self.mean_C11) / self.std_C11)
        return logits_BK


def load_student(path: str | Path) -> Normalised:
    """Load an exported network from its safetensors file, or from the folder of a job's artifacts.

    Returns a module on the CPU, in evaluation mode: logits_BK from float32 images_BCHW in [0, 1],
    which it normalises itself, like the ONNX export. Its `network` is the bare network, which takes
    normalised images. The file's header says which network it is; `config.json` repeats it.

    Raises RunError: `no_file`; `bad_weights` for a file that does not describe its network; and
    what `load_network` raises.
    """
    path = Path(path)
    file = path / STUDENT_FILE if path.is_dir() else path
    if not file.is_file():
        raise RunError(RunCode.NO_FILE, f"there is no file {file}")
    network = _network_of(file)
    return Normalised(load_network(network, file), network.input).eval()


def _network_of(file: Path) -> Network:
    try:
        with safe_open(file, framework="pt") as opened:
            return Network.model_validate_json((opened.metadata() or {})["network"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise RunError(
            RunCode.BAD_WEIGHTS,
            f"{file} is not an exported network: its header does not describe one",
        ) from error
