"""Random numbers without a state: integers hashed from (seed, stage, epoch, ..., sample index).

All arithmetic is on int64 tensors with values below 2^32 and factors below 2^31, so nothing ever
overflows and every device gives the same bits. The mixer is a bijection of 32 bits from the
`hash-prospector` search (16 0x21f0aaad 15 0x735a2d97 15).
"""

# N samples

import torch
from torch import Tensor

MASK = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9


def _mix(x: int) -> int:
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & MASK
    x = ((x ^ (x >> 15)) * 0x735A2D97) & MASK
    return x ^ (x >> 15)


def _mix_all(x_N: Tensor) -> Tensor:
    x_N = ((x_N ^ (x_N >> 16)) * 0x21F0AAAD) & MASK
    x_N = ((x_N ^ (x_N >> 15)) * 0x735A2D97) & MASK
    return x_N ^ (x_N >> 15)


def key_of(*parts: int) -> int:
    """One 32-bit key from integers of any size, order and count being significant."""
    key = _GOLDEN
    for part in parts:
        key = _mix((key ^ (part & MASK)) & MASK)
        key = _mix((key + ((part >> 32) & MASK) + _GOLDEN) & MASK)
    return key


def hash_indices(index_N: Tensor, *parts: int) -> Tensor:
    """A uniform integer in [0, 2^32) for each index (int64, at least 0), depending on all parts."""
    key = key_of(*parts)
    mixed_N = _mix_all((index_N & MASK) ^ key)
    return _mix_all((mixed_N + _mix(key ^ _GOLDEN) + (index_N >> 32)) & MASK)


def draw_below(limit: int, index_N: Tensor, *parts: int) -> Tensor:
    """A uniform integer in [0, limit) for each index; `limit` below 2^31."""
    return (hash_indices(index_N, *parts) * limit) >> 32


def draw_unit(index_N: Tensor, *parts: int) -> Tensor:
    """A uniform number (float64) for each index, inside of (0, 1), a multiple of 2^-33."""
    return (hash_indices(index_N, *parts).double() + 0.5) * 2.0**-32


def shuffle(index_N: Tensor, *parts: int) -> Tensor:
    """The indices in an order that depends on nothing but them and the parts."""
    return index_N[torch.argsort(hash_indices(index_N, *parts), stable=True)]
