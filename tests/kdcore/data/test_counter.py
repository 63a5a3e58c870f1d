"""Stateless random numbers: fixed, uniform, and without overflow on any device."""

import torch

from kdcore.data.counter import draw_below, hash_indices, hash_key, shuffle


def test_the_bits_are_fixed() -> None:
    """A changed bit would change every order and augmentation: resumed runs would differ."""
    assert hash_key(0, 0, 0) == 1182699591
    assert hash_indices(torch.tensor([0, 1, 2**40]), 7, 1, 2).tolist() == [
        87447226,
        802193278,
        1588867775,
    ]


def test_tensors_and_numbers_agree_and_nothing_overflows() -> None:
    big_N = torch.tensor([0, 1, 2**31 - 1, 2**32 - 1, 2**62])
    hashed_N = hash_indices(big_N, 2**31 - 1, 10**6, 10**6)
    assert hashed_N.min() >= 0
    assert hashed_N.max() < 2**32
    assert len(set(hashed_N.tolist())) == 5


def test_every_key_value_counts_and_so_does_their_order() -> None:
    keys = {hash_key(a, b, c) for a in range(10) for b in range(10) for c in range(10)}
    assert len(keys) == 1000
    assert hash_key(1, 2) != hash_key(1, 2, 0)
    assert hash_key(2**32) != hash_key(0)


def test_draws_are_uniform() -> None:
    drawn_N = draw_below(9, torch.arange(90_000), 1, 2, 3)
    counts = torch.bincount(drawn_N, minlength=9)
    assert len(counts) == 9
    assert (counts - 10_000).abs().max() < 400  # four standard deviations
    neighbours = torch.corrcoef(torch.stack((drawn_N[1:], drawn_N[:-1])).double())[0, 1]
    assert abs(neighbours) < 0.02


def test_a_shuffle_keeps_the_indices_and_moves_them() -> None:
    index_N = torch.arange(1000) * 3
    shuffled_N = shuffle(index_N, 5)
    assert torch.equal(shuffled_N.sort().values, index_N)
    assert (shuffled_N == index_N).sum() < 10
