"""A batch in parts: micro-batches of one optimizer step."""

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
    size, rest = divmod(len(batch.index_B), parts)
    assert not rest, "the loader gives whole micro-batches"
    for part in range(parts):
        here = slice(part * size, (part + 1) * size)
        cut = {f.name: _cut(getattr(batch, f.name), here) for f in fields(batch)}
        yield replace(batch, **cut)


def _cut(value: Any, here: slice) -> Any:
    """Tensors along their first dimension, within dataclasses too; all else is every part's."""
    if isinstance(value, Tensor):
        return value[here]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _cut(getattr(value, f.name), here) for f in fields(value)})
    return value
