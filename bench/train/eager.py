"""Measures plain eager PyTorch, as in the papers' code: `python -m bench.train.eager`.

The DataLoader converts every image to a PIL image and transforms it. Tensors are float32 and
contiguous NCHW, the whole teacher runs under no_grad, and losses are read back every step. Prints
one line of JSON.

B: batch, K: classes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import kdcore.networks.shim  # noqa: F401 -- before torchvision
from bench.train.eager_methods import make_method
from bench.train.task import (
    BATCH,
    MEAN,
    SIDE,
    STD,
    STUDENT,
    Images,
    Speed,
    fresh,
    load_arrays,
    load_teacher,
    side_arguments,
    time_steps,
)

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.05, 0.9, 5e-4


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's CIFAR datasets return them, transformed one by one."""

    def __init__(self, images_NHWC: Images, labels_N: Images, augment: bool = True) -> None:
        from torchvision import transforms

        self._images_NHWC, self._labels_N = images_NHWC, labels_N
        mean, std = 3 * MEAN, 3 * STD
        crop = [transforms.RandomCrop(SIDE, padding=SIDE // 8), transforms.RandomHorizontalFlip()]
        self._transform: Any = transforms.Compose(
            [*(crop if augment else []), transforms.ToTensor(), transforms.Normalize(mean, std)]
        )

    def __len__(self) -> int:
        return len(self._images_NHWC)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self._images_NHWC[index])
        return self._transform(picture), int(self._labels_N[index])


class Eager:
    """Student, teacher, method and optimizer; `step` trains on one batch."""

    def __init__(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        self.student, self.teacher = student, teacher
        self.method = make_method(name, student, teacher)
        trained = [*student.parameters(), *self.method.parameters()]
        self.optimizer = torch.optim.SGD(
            trained, lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        self.seen = [0.0, 0.0]

    def train(self) -> None:
        """Set the training modes, as an epoch does at its start."""
        self.student.train()
        self.method.train()
        self.teacher.train(self.method.teacher_trains)

    def step(self, x_BCHW: Tensor, labels_B: Tensor) -> None:
        """Make one update; reads back loss and hits, as the meters of the papers' code do."""
        self.optimizer.zero_grad()
        with torch.no_grad():
            theirs_BK = self.teacher(x_BCHW)
        own_BK = self.student(x_BCHW)
        loss = self.method(own_BK, theirs_BK, labels_B)
        loss.backward()
        self.optimizer.step()
        self.seen[0] += loss.item()
        self.seen[1] += (own_BK.argmax(1) == labels_B).float().sum().item()


def loader(data: Pictures, workers: int, shuffle: bool = True) -> DataLoader[Any]:
    """Shuffled batches without a short last one; or all batches in order."""
    return DataLoader(data, BATCH, shuffle=shuffle, num_workers=workers, drop_last=shuffle)


def speed(folder: Path, method: str, steps: int, workers: int) -> Speed:
    """Measure the speed of the first epoch's steps, including data loading."""
    eager = Eager(method, fresh(STUDENT, seed=0), load_teacher(folder))
    eager.train()
    batches: Iterator[tuple[Tensor, Tensor]] = iter(loader(Pictures(*load_arrays(folder)), workers))

    def step() -> bool:
        batch = next(batches, None)
        if batch is not None:
            eager.step(*batch)
        return batch is not None

    return time_steps(step, steps)


def main() -> None:
    """Measure and print one line of JSON."""
    given = side_arguments("Measure the speed of plain eager PyTorch.").parse_args()
    torch.set_num_threads(given.threads)
    print(speed(given.folder, given.method, given.steps, given.workers).line())


if __name__ == "__main__":
    main()
