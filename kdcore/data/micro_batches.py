"""Cuts a batch into micro-batches of one optimizer step, or into the slices of processes."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

from kdcore.data.batches import Batch


def split_batch(batch: Batch, count: int) -> Iterator[Batch]:
    """Cut into `count` batches of equal size, in order; 1: the batch itself."""
    if count == 1:
        yield batch
        return
    for index in range(count):
        yield slice_of(batch, index, count)


def slice_of(batch: Batch, index: int, count: int) -> Batch:
    """Slice `index` (from 0) of `count` slices of equal size."""
    size, rest = divmod(len(batch.index_B), count)
    assert not rest, "the loader makes batches that can be divided"
    here = slice(index * size, (index + 1) * size)
    cut = {f.name: _cut(getattr(batch, f.name), here) for f in fields(batch)}
    return replace(batch, **cut)


def _cut(value: Any, here: slice) -> Any:
    """Slice tensors along their first dimension, within dataclasses too; keep anything else."""
    if isinstance(value, Tensor):
        return value[here]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _cut(getattr(value, f.name), here) for f in fields(value)})
    return value
