"""A batch is cut whole: every tensor in it, however deep, and nothing else."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kdcore.data.batches import Batch
from kdcore.data.micro_batches import split


@dataclass(frozen=True)
class Within:
    """As a batch may hold."""

    share_B: Tensor


@dataclass(frozen=True)
class Richer(Batch):
    """A batch with more in it."""

    within: Within | None = None


def _batch() -> Richer:
    images_BCHW = torch.rand(6, 4, 4, 1).permute(0, 3, 1, 2)
    index_B = torch.arange(6)
    return Richer(
        index_B,
        images_BCHW,
        None,
        view=3,
        host_index_B=index_B + 10,
        within=Within(index_B * 0.5),
    )


def test_parts_are_the_batch_in_order() -> None:
    batch = _batch()
    parts = list(split(batch, 3))
    assert [p.index_B.tolist() for p in parts] == [[0, 1], [2, 3], [4, 5]]
    assert torch.equal(torch.cat([p.images_BCHW for p in parts]), batch.images_BCHW)
    assert all(isinstance(p, Richer) and p.within is not None for p in parts)
    assert [p.within.share_B.tolist() for p in parts][2] == [2.0, 2.5]  # type: ignore[attr-defined]
    last = parts[2]
    assert last.host_index_B is not None and last.host_index_B.tolist() == [14, 15]
    assert last.labels_B is None and last.view == 3


def test_one_part_is_the_batch_itself() -> None:
    batch = _batch()
    assert next(split(batch, 1)) is batch
