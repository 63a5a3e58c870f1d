"""Levels: any layout is read as a map without changing a value, and what is not a map is an error.

B: batch, C: channels, H, W: height and width, N: tokens.
"""

import pytest
import torch
from torch import Tensor

from kdcore.features.levels import MOST_PREFIX_TOKENS, Grid, Level, grid_of
from kdcore.features.taps import Outputs
from kdcore.spec.knobs.base import Tap

SQUARE = (32, 32)


def _counted(*shape: int) -> Tensor:
    """Every value once, so that a lost or duplicated one is noticed."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)


MAP_BCHW = _counted(2, 3, 4, 6)  # whatever the layout, this is what it folds to


@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens_fold_row_by_row_without_prefix_tokens(prefix: int) -> None:
    tokens_BNC = MAP_BCHW.flatten(2).transpose(1, 2)
    ahead_BNC = torch.full((2, prefix, 3), -1.0)
    grid = Grid(3, 4, 6, "tokens", prefix)
    assert torch.equal(grid.fold(torch.cat([ahead_BNC, tokens_BNC], 1)), MAP_BCHW)


def test_channels_last_fold_to_channels_first() -> None:
    grid = Grid(3, 4, 6, "channels_last")
    assert torch.equal(grid.fold(MAP_BCHW.permute(0, 2, 3, 1)), MAP_BCHW)


def test_a_map_is_itself() -> None:
    assert Grid(3, 4, 6).fold(MAP_BCHW) is MAP_BCHW


def test_a_vector_is_a_map_of_one_position() -> None:
    x_BC = _counted(2, 3)
    folded_BCHW = Grid(3, 1, 1, "vector").fold(x_BC)
    assert folded_BCHW.shape == (2, 3, 1, 1) and torch.equal(folded_BCHW.flatten(1), x_BC)


def test_gradients_pass_a_fold() -> None:
    tokens_BNC = _counted(2, 25, 3).requires_grad_()
    folded_BCHW = Grid(3, 4, 6, "tokens", 1).fold(tokens_BNC)
    (grad_BNC,) = torch.autograd.grad(folded_BCHW.sum(), tokens_BNC)
    assert bool((grad_BNC[:, 1:] == 1).all()) and bool((grad_BNC[:, :1] == 0).all())


@pytest.mark.parametrize(
    ("shape", "image", "expected"),
    [
        ((16, 32, 32), SQUARE, Grid(16, 32, 32)),
        ((64, 8, 8), SQUARE, Grid(64, 8, 8)),
        ((512, 1, 1), SQUARE, Grid(512, 1, 1)),
        ((7, 7, 7), (28, 28), Grid(7, 7, 7)),  # either would do: channels first
        ((8, 8, 96), SQUARE, Grid(96, 8, 8, "channels_last")),
        ((64, 4, 8), (16, 32), Grid(64, 4, 8)),  # of an image that is not square
        ((4, 8, 64), (16, 32), Grid(64, 4, 8, "channels_last")),
        ((64, 6, 11), (45, 90), Grid(64, 6, 11)),  # rounded at every halving
        ((10,), SQUARE, Grid(10, 1, 1, "vector")),
    ],
)
def test_maps_and_vectors_are_found(
    shape: tuple[int, ...], image: tuple[int, int], expected: Grid
) -> None:
    assert grid_of(shape, image) == expected


@pytest.mark.parametrize(
    ("count", "image", "rows", "columns", "prefix"),
    [
        (196, (224, 224), 14, 14, 0),
        (197, (224, 224), 14, 14, 1),  # a class token
        (201, (224, 224), 14, 14, 5),  # and four registers
        (32, (16, 32), 4, 8, 0),
        (33, (16, 32), 4, 8, 1),
        (32, (32, 16), 8, 4, 0),
        (16, (65, 65), 4, 4, 0),  # patches of 16, a row of pixels left over
    ],
)
def test_tokens_tile_the_image_in_square_patches(
    count: int, image: tuple[int, int], rows: int, columns: int, prefix: int
) -> None:
    assert grid_of((count, 192), image) == Grid(192, rows, columns, "tokens", prefix)


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((), SQUARE),
        ((2, 3, 8, 8), SQUARE),
        ((64, 8, 4), SQUARE),  # sides that shrink unequally
        ((64, 48, 48), SQUARE),  # larger than the image
        ((64, 8, 8), (16, 32)),
        ((220, 192), (224, 224)),  # no five tokens fewer tile the image
        ((14 * 14 + MOST_PREFIX_TOKENS + 1, 192), (224, 224)),
        ((2, 192), (9, 12)),  # two squares side by side leave a quarter of it out
        ((1, 192), (224, 224)),  # a class token alone is not a map
    ],
)
def test_what_does_not_cover_the_image_is_not_a_map(
    shape: tuple[int, ...], image: tuple[int, int]
) -> None:
    assert grid_of(shape, image) is None


def test_a_level_reads_its_tap_and_describes_itself() -> None:
    tap = Tap(module="blocks.2")
    level = Level(tap, Grid(3, 4, 6, "channels_last"))
    read_BCHW = level.read(Outputs(None, {tap: MAP_BCHW.permute(0, 2, 3, 1)}))
    assert torch.equal(read_BCHW, MAP_BCHW) and level.shape == tuple(read_BCHW.shape[1:])
    assert str(level) == "'blocks.2' (3x4x6)"
    before = Level(Tap(module="relu", position="before_relu"), level.grid)
    assert str(before) == "the input of 'relu' (3x4x6)"
