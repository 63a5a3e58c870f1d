"""A batch in parts: micro-batches of one optimizer step, or each process's share."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

from kdcore.data.batches import Batch


def split(batch: Batch, parts: int) -> Iterator[Batch]:
    """So many batches of equal size, in order; one part is the batch itself."""
    if parts == 1:
        yield batch
        return
    for index in range(parts):
        yield part_of(batch, index, parts)


def part_of(batch: Batch, index: int, parts: int) -> Batch:
    """The part `index` (from 0) of so many of equal size."""
    size, rest = divmod(len(batch.index_B), parts)
    assert not rest, "the loader gives batches that can be divided"
    here = slice(index * size, (index + 1) * size)
    cut = {f.name: _cut(getattr(batch, f.name), here) for f in fields(batch)}
    return replace(batch, **cut)


def _cut(value: Any, here: slice) -> Any:
    """Tensors along their first dimension, within dataclasses too; all else is every part's."""
    if isinstance(value, Tensor):
        return value[here]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _cut(getattr(value, f.name), here) for f in fields(value)})
    return value
