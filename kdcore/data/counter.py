"""Stateless random numbers: integers hashed from (seed, stage, epoch, ..., sample index).

All arithmetic is on int64 tensors with values below 2^32 and factors below 2^31, so nothing
overflows and every device computes the same bits. The mixer is a bijection of 32 bits from the
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


def hash_key(*values: int) -> int:
    """Hash integers of any size to one 32-bit key; their order and number matter."""
    key = _GOLDEN
    for value in values:
        key = _mix((key ^ (value & MASK)) & MASK)
        key = _mix((key + ((value >> 32) & MASK) + _GOLDEN) & MASK)
    return key


def hash_indices(index_N: Tensor, *key_values: int) -> Tensor:
    """A uniform integer in [0, 2^32) for each index (int64, at least 0) and these values."""
    key = hash_key(*key_values)
    mixed_N = _mix_all((index_N & MASK) ^ key)
    return _mix_all((mixed_N + _mix(key ^ _GOLDEN) + (index_N >> 32)) & MASK)


def draw_below(limit: int, index_N: Tensor, *key_values: int) -> Tensor:
    """A uniform integer in [0, limit) for each index; `limit` below 2^31."""
    return (hash_indices(index_N, *key_values) * limit) >> 32


def draw_unit(index_N: Tensor, *key_values: int) -> Tensor:
    """A uniform number (float64) in (0, 1) for each index, a multiple of 2^-33."""
    return (hash_indices(index_N, *key_values).double() + 0.5) * 2.0**-32


def shuffle(index_N: Tensor, *key_values: int) -> Tensor:
    """The indices in an order that depends only on them and the key values."""
    return index_N[torch.argsort(hash_indices(index_N, *key_values), stable=True)]
