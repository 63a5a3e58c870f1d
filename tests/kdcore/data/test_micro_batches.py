"""Cutting a batch cuts every tensor in it, however deeply nested, and nothing else."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kdcore.data.batches import Batch
from kdcore.data.micro_batches import split_batch


@dataclass(frozen=True)
class Within:
    """Something nested in a batch."""

    share_B: Tensor


@dataclass(frozen=True)
class Richer(Batch):
    """A batch with one more field."""

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


def test_micro_batches_are_the_batch_in_order() -> None:
    batch = _batch()
    cut = list(split_batch(batch, 3))
    assert [p.index_B.tolist() for p in cut] == [[0, 1], [2, 3], [4, 5]]
    assert torch.equal(torch.cat([p.images_BCHW for p in cut]), batch.images_BCHW)
    assert all(isinstance(p, Richer) and p.within is not None for p in cut)
    assert [p.within.share_B.tolist() for p in cut][2] == [2.0, 2.5]  # type: ignore[attr-defined]
    last = cut[2]
    assert last.host_index_B is not None and last.host_index_B.tolist() == [14, 15]
    assert last.labels_B is None and last.view == 3


def test_one_micro_batch_is_the_batch_itself() -> None:
    batch = _batch()
    assert next(split_batch(batch, 1)) is batch
