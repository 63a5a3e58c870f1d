"""All augmentations through the loader: pure in the sample, whatever the batch, order or step.

B: batch, C: channels, H, W: height and width, N: samples.
"""

import hashlib
from typing import Any

import pytest
import torch
from torch import Tensor

from kdcore.data.batches import Batch, Loader, eval_batches
from kdcore.data.images import Split
from kdcore.spec.augment import KINDS
from kdcore.spec.recipe import Data

CPU = torch.device("cpu")
COUNT = 30
PLAIN = ["crop", "flip", {"name": "rand_augment", "spread": 9}, "colour_jitter", "cutout"]
EVERY = [*PLAIN, "mixup", "cutmix"]
RESIZED = ["random_resized_crop", *EVERY[1:]]


def make_split(channels: int = 3, size: tuple[int, int] | None = None) -> Split:
    generator = torch.Generator().manual_seed(channels)
    shape = (COUNT, channels, 12, 14)
    images_NCHW = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Split(images_NCHW, torch.arange(COUNT) % 4, size)


def load(
    augment: list[Any], batch_size: int = 5, views: int | None = None, seed: int = 0
) -> Loader:
    data = Data.model_validate({"augment": augment, "batch_size": batch_size})
    return Loader(make_split(), torch.arange(COUNT), data, seed, CPU, views)


def by_sample(batches: list[Batch]) -> dict[int, tuple[Tensor, ...]]:
    """All of every sample: image, label, and what it is mixed with."""
    found = {}
    for batch in batches:
        assert batch.labels_B is not None
        parts = [batch.images_BCHW, batch.labels_B]
        if batch.mix is not None:
            assert batch.mix.labels_B is not None
            parts += [batch.mix.index_B, batch.mix.labels_B, batch.mix.share_B]
        for row, index in enumerate(batch.index_B.tolist()):
            found[index] = tuple(part[row] for part in parts)
    return found


def same(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("augment", [PLAIN, EVERY, RESIZED, *([name] for name in KINDS)])
def test_a_samples_look_does_not_depend_on_its_batch_or_the_step_before(
    augment: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = by_sample(list(load(augment, 30).batches(1, 2)))
    assert len(whole) == COUNT
    for batch_size in (1, 7):
        loader = load(augment, batch_size)
        for start in (0, 2):
            part = by_sample(list(loader.batches(1, 2, start)))
            assert all(same(part[index], whole[index]) for index in part)
    monkeypatch.setattr("kdcore.data.augment.policy.CACHED_BYTES", 3 * 12 * 14 * 3)
    monkeypatch.setattr("kdcore.data.batches.SPAN", 10)
    chunked = by_sample(list(load(augment, 5).batches(1, 2)))
    assert all(same(chunked[index], whole[index]) for index in range(COUNT))


@pytest.mark.parametrize("augment", [PLAIN, EVERY, RESIZED])
def test_every_augmentation_changes_with_epoch_stage_and_seed(augment: list[Any]) -> None:
    first = by_sample(list(load(augment).batches(0, 0)))
    for other in (
        load(augment).batches(0, 1),
        load(augment).batches(1, 0),
        load(augment, seed=1).batches(0, 0),
    ):
        images = by_sample(list(other))
        changed = sum(not torch.equal(first[i][0], images[i][0]) for i in range(COUNT))
        assert changed >= COUNT - 2


def test_no_global_generator_is_read() -> None:
    torch.manual_seed(0)
    first = list(load(EVERY).batches(0, 0))
    state = torch.get_rng_state()
    torch.manual_seed(1)
    again = list(load(EVERY).batches(0, 0))
    assert all(torch.equal(a.images_BCHW, b.images_BCHW) for a, b in zip(first, again, strict=True))
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("augment", [EVERY, RESIZED])
def test_images_stay_float_in_0_to_1_channels_last(augment: list[Any]) -> None:
    for channels in (1, 3, 4):
        data = Data.model_validate({"augment": augment, "batch_size": 6})
        loader = Loader(make_split(channels), torch.arange(COUNT), data, 0, CPU)
        for batch in loader.batches(0, 0):
            images_BCHW = batch.images_BCHW
            assert images_BCHW.shape == (6, channels, 12, 14)
            assert images_BCHW.dtype == torch.float32
            assert images_BCHW.is_contiguous(memory_format=torch.channels_last)
            assert float(images_BCHW.min()) >= 0 and float(images_BCHW.max()) <= 1


def test_the_order_in_a_spec_makes_no_difference() -> None:
    forth, back = (by_sample(list(load(a).batches(0, 0))) for a in (EVERY, EVERY[::-1]))
    assert all(same(forth[index], back[index]) for index in range(COUNT))


def test_a_mixed_image_is_made_of_both_images_as_augmented_without_mixing() -> None:
    """And its labels are those of the two, by the shares."""
    plain = by_sample(list(load(PLAIN).batches(0, 3)))
    mixed = list(load([*PLAIN, {"name": "mixup", "alpha": 1}]).batches(0, 3))
    for batch in mixed:
        assert batch.mix is not None and batch.mix.labels_B is not None
        assert torch.equal(batch.mix.labels_B, batch.mix.index_B % 4)
        for row, index in enumerate(batch.index_B.tolist()):
            own, other = plain[index][0], plain[int(batch.mix.index_B[row])][0]
            share = float(batch.mix.share_B[row])
            wanted = own * share + other * (1 - share)
            assert torch.allclose(batch.images_BCHW[row], wanted, atol=1e-6)


def test_partners_are_training_samples_only() -> None:
    data = Data.model_validate({"augment": ["mixup"], "batch_size": 5})
    loader = Loader(make_split(), torch.arange(0, COUNT, 3), data, 0, CPU)
    partners = {int(i) for b in loader.batches(0, 0) if b.mix for i in b.mix.index_B}
    assert partners and all(index % 3 == 0 for index in partners)


def test_unlabelled_images_mix_without_labels() -> None:
    split = Split(make_split().images_NCHW, None)
    data = Data.model_validate({"augment": ["cutmix"], "batch_size": 5})
    batch = next(Loader(split, torch.arange(COUNT), data, 0, CPU).batches(0, 0))
    assert batch.labels_B is None and batch.mix is not None and batch.mix.labels_B is None


def test_views_take_turns_and_every_epoch_has_its_own_order() -> None:
    loader, free = load(PLAIN, views=3), load(PLAIN)
    for epoch in range(7):
        assert loader.view_of(epoch) == epoch % 3 and free.view_of(epoch) is None
        batches, own = list(loader.batches(1, epoch)), list(free.batches(1, epoch))
        assert [b.index_B.tolist() for b in batches] == [b.index_B.tolist() for b in own]
        assert {b.view for b in batches} == {epoch % 3} and {b.view for b in own} == {None}
        # Whatever the stage.
        view, images = by_sample(list(loader.batches(0, epoch % 3))), by_sample(batches)
        assert all(same(images[index], view[index]) for index in range(COUNT))
    images, others = (by_sample(list(loader.batches(0, epoch))) for epoch in (0, 1))
    assert not all(same(images[index], others[index]) for index in range(COUNT))


def test_views_are_the_same_for_every_seed() -> None:
    data = Data.model_validate({"augment": PLAIN, "batch_size": 5})
    one, other = (
        by_sample(list(Loader(make_split(), torch.arange(COUNT), data, seed, CPU, 2).batches(0, 1)))
        for seed in (0, 1)
    )
    assert all(same(one[index], other[index]) for index in range(COUNT))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixing_is_refused_with_views(name: str) -> None:
    with pytest.raises(AssertionError, match="views"):  # the spec is validated earlier
        load([name], views=2)


@pytest.mark.parametrize("augment", [[], ["flip"], ["crop"], ["random_resized_crop"]])
def test_a_margin_is_cropped_in_training_and_evaluation(augment: list[Any]) -> None:
    split = make_split(size=(8, 9))
    data = Data.model_validate({"augment": augment, "batch_size": 5})
    loader = Loader(split, torch.arange(COUNT), data, 0, CPU)
    assert all(b.images_BCHW.shape[2:] == (8, 9) for b in loader.batches(0, 0))
    images_NCHW = torch.cat([b.images_BCHW for b in eval_batches(split, 7, CPU)])
    assert torch.equal((images_NCHW * 255).round().byte(), split.images_NCHW[:, :, 2:10, 2:11])
    if not augment:
        for batch in loader.batches(0, 0):
            assert torch.equal(batch.images_BCHW, images_NCHW[batch.index_B])


def test_crop_and_flip_keep_their_bits() -> None:
    """A change would change the curves of every seed."""
    generator = torch.Generator().manual_seed(0)
    images_NCHW = torch.randint(0, 256, (50, 3, 9, 16), dtype=torch.uint8, generator=generator)
    split, digest = Split(images_NCHW, torch.arange(50) % 4), hashlib.sha256()
    for augment in ((), ("crop",), ("flip",), ("crop", "flip")):
        data = Data.model_validate({"batch_size": 7, "augment": augment})
        for batch in Loader(split, torch.arange(50), data, 5, CPU).batches(1, 2, 1):
            assert batch.labels_B is not None
            for tensor in (batch.images_BCHW, batch.index_B, batch.labels_B):
                digest.update(tensor.contiguous().numpy().tobytes())
        for batch in eval_batches(Split(images_NCHW, None), 8, CPU):
            digest.update(batch.images_BCHW.contiguous().numpy().tobytes())
    assert digest.hexdigest() == "c432f7067310f99edc1cb587c4ca5f67f81dbd9c35f9a713d2ac0a7c3c7dc8bb"
