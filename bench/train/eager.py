"""Plain eager PyTorch, written as the papers' codes are: `python -m bench.train.eager`.

A DataLoader that makes every image a PIL image and transforms it, float32, contiguous NCHW, the
whole teacher under no_grad, losses read back every step. Prints one line of JSON.

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
    """Images as torchvision's CIFAR datasets hand them over, transformed one by one."""

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
    """Student, teacher, method and optimizer; `step` learns from one batch."""

    def __init__(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        self.student, self.teacher = student, teacher
        self.method = make_method(name, student, teacher)
        learnt = [*student.parameters(), *self.method.parameters()]
        self.optimizer = torch.optim.SGD(
            learnt, lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        self.seen = [0.0, 0.0]

    def train(self) -> None:
        """What an epoch begins with."""
        self.student.train()
        self.method.train()
        self.teacher.train(self.method.teacher_trains)

    def step(self, x_BCHW: Tensor, labels_B: Tensor) -> None:
        """One update, and the loss and hits read back, as the codes' meters do."""
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
    """Shuffled batches, the last short one dropped; or all in order."""
    return DataLoader(data, BATCH, shuffle=shuffle, num_workers=workers, drop_last=shuffle)


def speed(folder: Path, method: str, steps: int, workers: int) -> Speed:
    """The speed of the first epoch's steps, loading included."""
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
    """Measure and print."""
    given = side_arguments("Plain eager PyTorch's speed.").parse_args()
    torch.set_num_threads(given.threads)
    print(speed(given.folder, given.method, given.steps, given.workers).line())


if __name__ == "__main__":
    main()
