"""Measures how fast batches are made: `python -m bench.data`.

Compares the loader, on random images in memory, with the usual pipeline, which transforms one image
at a time (Pillow and torchvision's transforms, in one process) and stacks them. Neither decodes
files. Both are measured alternately, several times, so that other work on the machine slows both;
the medians are reported. Then measures the same training steps with batches made ahead of time in a
thread, and without.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional

import kdcore.networks.shim  # noqa: F401 -- before torchvision
from bench.results_file import RESULTS, Hardware, this_hardware
from kdcore.data.ahead import ahead
from kdcore.data.batches import Batch, Loader
from kdcore.data.images import Split
from kdcore.networks.zoo import build_network
from kdcore.spec.recipe import Data
from kdcore.spec.run import Network

CPU = torch.device("cpu")
SMALL, LARGE, CENTRE = 32, 256, 224
SEVERAL: list[Any] = ["flip", "rand_augment", "colour_jitter", "cutout", "mixup"]


class Speed(BaseModel):
    """Images per second of both pipelines, and the median ratio of pairs measured in turn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    ours: float
    one_by_one: float
    ratio: float


class Speeds(BaseModel):
    """The result of `python -m bench.data`.

    `ahead`: the speed of training steps with batches made ahead in a thread, relative to the speed
    without; above 1, the thread helps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["data"] = "data"
    date: date
    hardware: Hardware
    batch_size: int
    repeats: int
    speeds: dict[str, Speed]
    ahead: float


def make_split(count: int, side: int, size: int) -> Split:
    """Make a split of random colour images."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, side, side, 3)
    images_NHWC = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    crop = None if size == side else (size, size)
    return Split(images_NHWC.permute(0, 3, 1, 2), torch.arange(count) % 10, crop)


def loader_of(split: Split, batch_size: int, augment: list[Any]) -> Loader:
    """Make a loader over the whole split."""
    data = Data.model_validate({"batch_size": batch_size, "augment": augment})
    return Loader(split, torch.arange(len(split)), data, 0, CPU)


def ours(split: Split, batch_size: int, augment: list[Any]) -> Callable[[int], None]:
    """Return a function that runs an epoch of the loader."""
    loader = loader_of(split, batch_size, augment)

    def run(epoch: int) -> None:
        for _ in loader.batches(0, epoch):
            pass

    return run


def one_by_one(
    split: Split, batch_size: int, transform: Callable[[Any], Tensor], *, mixes: bool
) -> Callable[[int], None]:
    """Return a function that transforms an epoch of Pillow images, and stacks and mixes batches."""
    from PIL import Image

    images_NHWC = split.images_NCHW.permute(0, 2, 3, 1).numpy()

    def run(epoch: int) -> None:
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(epoch))
        for index_B in torch.split(order, batch_size):
            images = [transform(Image.fromarray(images_NHWC[i])) for i in index_B.tolist()]
            images_BCHW = torch.stack(images)
            if mixes:
                images_BCHW = images_BCHW.mul(0.7).add_(images_BCHW.flip(0), alpha=0.3)

    return run


def pipelines() -> dict[str, tuple[int, int, list[Any], Callable[[Any], Tensor]]]:
    """Side, size, our augmentations and the equivalent transforms of each pipeline, by name."""
    from torchvision import transforms

    flip, tensor = transforms.RandomHorizontalFlip(), transforms.ToTensor()
    crop = transforms.RandomCrop(SMALL, padding=SMALL // 8)
    resized = transforms.RandomResizedCrop(CENTRE)
    several = [
        *(flip, transforms.RandAugment(), transforms.ColorJitter(0.4, 0.4, 0.4), tensor),
        transforms.RandomErasing(p=1.0),
    ]

    def row(side: int, size: int, augment: list[Any], *steps: Any) -> Any:
        return side, size, augment, transforms.Compose(steps)

    return {
        "32: crop, flip": row(SMALL, SMALL, ["crop", "flip"], crop, flip, tensor),
        "32: all": row(SMALL, SMALL, ["crop", *SEVERAL], crop, *several),
        "224 of 256: resized crop, flip": row(
            LARGE, CENTRE, ["random_resized_crop", "flip"], resized, flip, tensor
        ),
        "224 of 256: all": row(LARGE, CENTRE, ["random_resized_crop", *SEVERAL], resized, *several),
    }


def measure(batch_size: int, repeats: int) -> Iterator[tuple[str, Speed]]:
    """Measure every pipeline; yields its name and speeds."""
    for name, (side, size, augment, transform) in pipelines().items():
        count = batch_size * (20 if side == SMALL else 2)
        split = make_split(count, side, size)
        runs = (
            ours(split, batch_size, augment),
            one_by_one(split, batch_size, transform, mixes="mixup" in augment),
        )
        pairs = [tuple(count / _seconds(run, n) for run in runs) for n in range(repeats + 1)]
        own, other = zip(*pairs[1:], strict=True)
        ratios = [a / b for a, b in pairs[1:]]
        yield (
            name,
            Speed(
                images=count,
                ours=round(median(own)),
                one_by_one=round(median(other)),
                ratio=round(median(ratios), 2),
            ),
        )


def _seconds(run: Callable[[int], None], number: int) -> float:
    start_s = time.perf_counter()
    run(number)
    return time.perf_counter() - start_s


def ahead_over_plain(batch_size: int, repeats: int, steps: int = 20) -> float:
    """Speed of training steps (resnet20, 32x32) with batches made ahead, relative to without."""
    network = build_network(Network(architecture="resnet20", num_classes=10))
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loader = loader_of(make_split(batch_size * steps, SMALL, SMALL), batch_size, ["crop", "flip"])

    def train(batches: Iterator[Batch]) -> float:
        start_s = time.perf_counter()
        for batch in islice(batches, steps):
            _step(network, batch)
        return time.perf_counter() - start_s

    ratios = []
    for epoch in range(repeats + 1):
        plain_s = train(loader.batches(0, epoch))
        ratios.append(plain_s / train(ahead(loader.batches(0, epoch), 2)))
    return round(median(ratios[1:]), 3)


def _step(network: nn.Module, batch: Batch) -> None:
    assert batch.labels_B is not None
    network.zero_grad()
    loss = functional.cross_entropy(network(batch.images_BCHW), batch.labels_B)
    loss.backward()  # type: ignore[no-untyped-call]


def table(speeds: Speeds) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| images | ours, images/s | one by one, images/s | ratio |"
    yield "|---|---|---|---|"
    for name, speed in speeds.speeds.items():
        yield f"| {name} | {speed.ours:.0f} | {speed.one_by_one:.0f} | {speed.ratio:.1f} |"
    yield ""
    yield f"training speed with batches made ahead, relative to without: {speeds.ahead:.3f}"


def write(speeds: Speeds, folder: Path = RESULTS) -> Path:
    """Write the file; returns its path."""
    hardware = speeds.hardware
    cpu = "-".join(hardware.cpu.lower().split())
    path = folder / f"data_{cpu}_{hardware.threads}-threads_{speeds.date}.json"
    path.write_text(speeds.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return path


def main() -> None:
    """Measure, print the table and write the file."""
    parser = argparse.ArgumentParser(description="Measure how fast batches are made.")
    parser.add_argument(
        "--repeats", type=int, default=5, help="measurements per pipeline (default: 5)"
    )
    parser.add_argument("--threads", type=int, default=1, help="torch's CPU threads (default: 1)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--dry-run", action="store_true", help="do not write a file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    speeds = Speeds(
        date=datetime.now(UTC).date(),
        hardware=this_hardware(),
        batch_size=given.batch_size,
        repeats=given.repeats,
        speeds=dict(measure(given.batch_size, given.repeats)),
        ahead=ahead_over_plain(given.batch_size, given.repeats),
    )
    print("\n".join(table(speeds)))
    if not given.dry_run:
        path = write(speeds)
        print(f"written to {path.relative_to(path.parents[2])}")


if __name__ == "__main__":
    main()
