"""Pixels that are not kept on the device: gathered ahead, with the same bits in the same order."""

import dataclasses
import threading

import pytest
import torch

from kdcore.data import pixels as pixels_module
from kdcore.data.batches import Batch, Loader
from kdcore.data.images import Split
from kdcore.data.pixels import Pixels, pixels_of
from kdcore.spec.recipe import Data

CPU = torch.device("cpu")
EVERY = Data.model_validate(
    {"batch_size": 4, "augment": ["random_resized_crop", "flip", "rand_augment", "mixup"]}
)


@pytest.fixture
def split() -> Split:
    generator = torch.Generator().manual_seed(0)
    images_NCHW = torch.randint(0, 256, (22, 3, 8, 9), dtype=torch.uint8, generator=generator)
    return Split(images_NCHW, torch.arange(22) % 3)


@pytest.fixture
def mapped(split: Split, monkeypatch: pytest.MonkeyPatch) -> Split:
    """The same, as if mapped from a file that is larger than memory."""
    monkeypatch.setattr(pixels_module, "_fits_memory", lambda _: False)
    return dataclasses.replace(split, mapped=True)


def batches(split: Split | Pixels, start: int = 0) -> list[Batch]:
    return list(Loader(split, torch.arange(22), EVERY, 1, CPU).batches(0, 1, start))


def test_only_what_does_not_fit_is_read_ahead(split: Split, mapped: Split) -> None:
    assert Pixels(mapped, CPU).ahead
    assert not Pixels(split, CPU).ahead


def test_a_small_mapped_file_is_read_like_memory(split: Split) -> None:
    assert not Pixels(dataclasses.replace(split, mapped=True), CPU).ahead


def test_batches_ahead_are_the_same_batches(split: Split, mapped: Split) -> None:
    for start in (0, 3):
        pairs = list(zip(batches(split, start), batches(mapped, start), strict=True))
        assert len(pairs) == 5 - start
        for plain, ahead in pairs:
            assert torch.equal(plain.index_B, ahead.index_B)
            assert torch.equal(plain.images_BCHW, ahead.images_BCHW)
            assert plain.labels_B is not None and ahead.labels_B is not None
            assert torch.equal(plain.labels_B, ahead.labels_B)
            assert plain.mix is not None and ahead.mix is not None
            assert torch.equal(plain.mix.share_B, ahead.mix.share_B)


def test_a_loader_left_in_the_middle_leaves_no_thread(mapped: Split) -> None:
    before = threading.active_count()
    stream = Loader(mapped, torch.arange(22), EVERY, 1, CPU).batches(0, 0)
    next(stream)
    assert threading.active_count() == before + 1
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_what_reading_raises_reaches_the_loop(mapped: Split) -> None:
    loader = Loader(mapped, torch.arange(22), EVERY, 1, CPU)
    loader._index_N = loader._index_N + 20
    with pytest.raises(IndexError):
        list(loader.batches(0, 0))


def test_pixels_on_the_device_are_not_copied_again(split: Split) -> None:
    there = Pixels(split, CPU)
    assert pixels_of(there, CPU) is there
    for plain, again in zip(batches(split), batches(there), strict=True):
        assert torch.equal(plain.images_BCHW, again.images_BCHW)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident", [True, False])
def test_a_gpu_gives_the_bits_of_the_cpu(
    split: Split, resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that is exact there: every augmentation but exponentials, which the CPU draws."""
    if not resident:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, 0))
    device = torch.device("cuda")
    data = EVERY.model_copy(update={"augment": (*EVERY.augment, "colour_jitter", "cutout")})
    pixels = Pixels(split, device)
    assert pixels.ahead is not resident
    there = list(Loader(pixels, torch.arange(22), data, 1, device).batches(0, 1))
    here = list(Loader(split, torch.arange(22), data, 1, CPU).batches(0, 1))
    for own, wanted in zip(there, here, strict=True):
        assert torch.equal(own.images_BCHW.cpu(), wanted.images_BCHW)
