"""Batches: pure functions of (seed, stage, epoch, sample), however samples are grouped."""

import dataclasses

import pytest
import torch
from torch import Tensor

from kdcore.data.batches import Adapter, Loader, eval_batches, hold_out
from kdcore.data.images import Split
from kdcore.runtime.errors import RunError
from kdcore.spec.recipe import Data
from kdcore.spec.run import Input

CPU = torch.device("cpu")


def make_split(n: int = 20, channels: int = 3, height: int = 9, width: int = 16) -> Split:
    generator = torch.Generator().manual_seed(0)
    shape = (n, channels, height, width)
    images_NCHW = torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator)
    return Split(images_NCHW, torch.arange(n) % 4)


def samples(
    split: Split, batch_size: int = 5, seed: int = 0, stage: int = 0, epoch: int = 0
) -> dict[int, Tensor]:
    """Each sample's augmented image, by its index."""
    data = Data(batch_size=batch_size)
    loader = Loader(split, torch.arange(len(split)), data, seed, CPU)
    return {
        int(index): image
        for batch in loader.batches(stage, epoch)
        for index, image in zip(batch.index_B, batch.images_BCHW, strict=True)
    }


def order(loader: Loader, stage: int = 0, epoch: int = 0, start: int = 0) -> list[int]:
    return [int(i) for batch in loader.batches(stage, epoch, start) for i in batch.index_B]


def test_a_batch_has_images_in_0_to_1_and_its_own_labels() -> None:
    split = make_split()
    loader = Loader(split, torch.arange(20), Data(batch_size=6), 0, CPU)
    batches = list(loader.batches(0, 0))
    assert len(batches) == loader.steps_per_epoch == 3
    for batch in batches:
        assert batch.images_BCHW.shape == (6, 3, 9, 16)
        assert batch.images_BCHW.dtype == torch.float32
        assert batch.images_BCHW.is_contiguous(memory_format=torch.channels_last)
        assert batch.images_BCHW.min() >= 0
        assert batch.images_BCHW.max() <= 1
        assert batch.labels_B is not None
        assert torch.equal(batch.labels_B, batch.index_B % 4)


def test_every_sample_comes_once_an_epoch_and_the_short_batch_is_dropped() -> None:
    index_N = torch.tensor([1, 3, 5, 7, 9, 11, 13])
    loader = Loader(make_split(), index_N, Data(batch_size=3), 0, CPU)
    seen = order(loader)
    assert len(seen) == len(set(seen)) == 6
    assert set(seen) <= set(index_N.tolist())


def test_fewer_samples_than_a_batch_are_one_batch() -> None:
    loader = Loader(make_split(3), torch.arange(3), Data(batch_size=64), 0, CPU)
    assert loader.steps_per_epoch == 1
    assert sorted(order(loader)) == [0, 1, 2]


def test_the_order_changes_with_seed_stage_and_epoch_and_with_nothing_else() -> None:
    def loader(seed: int) -> Loader:
        return Loader(make_split(), torch.arange(20), Data(batch_size=20), seed, CPU)

    orders = [
        order(loader(s), stage, epoch) for s in (0, 1) for stage in (0, 1) for epoch in (0, 1)
    ]
    assert len({tuple(o) for o in orders}) == 8
    assert order(loader(0)) == orders[0]


def test_an_epoch_resumes_from_any_step() -> None:
    loader = Loader(make_split(), torch.arange(20), Data(batch_size=4), 0, CPU)
    whole = list(loader.batches(1, 2))
    for start in range(6):
        rest = list(loader.batches(1, 2, start))
        assert len(rest) == 5 - start
        for a, b in zip(whole[start:], rest, strict=True):
            assert torch.equal(a.index_B, b.index_B)
            assert torch.equal(a.images_BCHW, b.images_BCHW)


def test_a_samples_augmentation_does_not_depend_on_its_batch() -> None:
    split = make_split()
    a, b = samples(split, batch_size=2), samples(split, batch_size=20)
    assert all(torch.equal(a[i], b[i]) for i in range(20))


def test_a_samples_augmentation_changes_with_every_epoch_stage_and_seed() -> None:
    split = make_split()
    first = samples(split)
    for other in (samples(split, epoch=1), samples(split, stage=1), samples(split, seed=1)):
        changed = sum(not torch.equal(first[i], other[i]) for i in range(20))
        assert changed > 10


def placements(image_CHW: Tensor, pad_h: int, pad_w: int) -> list[Tensor]:
    """Every crop of the padded image, plain and mirrored, in the order of a plain loop."""
    _, height, width = image_CHW.shape
    padded = torch.nn.functional.pad(image_CHW, (pad_w, pad_w, pad_h, pad_h))
    cuts = [
        padded[:, y : y + height, x : x + width]
        for y in range(2 * pad_h + 1)
        for x in range(2 * pad_w + 1)
    ]
    return cuts + [cut.flip(2) for cut in cuts]


def test_each_image_is_one_of_the_crops_of_its_padded_self() -> None:
    """9 pixels are padded by 2 (1/8, rounded up), 16 by 2."""
    split = make_split()
    allowed = [placements(image / 255, 2, 2) for image in split.images_NCHW]
    chosen = set()
    for epoch in range(20):
        for index, image in samples(split, epoch=epoch).items():
            matches = [k for k, cut in enumerate(allowed[index]) if torch.allclose(image, cut)]
            assert len(matches) == 1
            chosen.add(matches[0])
    assert len(chosen) == 2 * 5 * 5


@pytest.mark.parametrize(("augment", "kinds"), [((), 1), (("flip",), 2), (("crop",), 25)])
def test_each_augmentation_works_alone(augment: tuple[str, ...], kinds: int) -> None:
    split = make_split(1)
    data = Data.model_validate({"augment": augment})
    loader = Loader(split, torch.arange(1), data, 0, CPU)
    images = {
        tuple(batch.images_BCHW.flatten().tolist())
        for epoch in range(300)
        for batch in loader.batches(0, epoch)
    }
    assert len(images) == kinds


def test_a_grey_pixel_is_its_value_over_255() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    (batch,) = eval_batches(Split(values, None), 8, CPU)
    assert torch.allclose(batch.images_BCHW, values / 255, rtol=1e-6)
    assert float(batch.images_BCHW.max()) == 1.0


def test_evaluation_reads_every_sample_unchanged_in_order() -> None:
    split = make_split()
    batches = list(eval_batches(split, 8, CPU))
    assert [len(b.index_B) for b in batches] == [8, 8, 4]
    images_NCHW = torch.cat([b.images_BCHW for b in batches])
    assert torch.allclose(images_NCHW, split.images_NCHW / 255)
    assert torch.equal(torch.cat([b.index_B for b in batches]), torch.arange(20))
    (part,) = eval_batches(split, 8, CPU, torch.tensor([7, 2]))
    assert part.index_B.tolist() == [7, 2]
    assert part.labels_B is not None and part.labels_B.tolist() == [3, 2]


def test_unlabelled_samples_have_no_labels() -> None:
    split = dataclasses.replace(make_split(), labels_N=None)
    (batch,) = eval_batches(split, 64, CPU)
    assert batch.labels_B is None


def test_holding_out_is_stratified_disjoint_and_repeatable() -> None:
    labels_N = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)
    train_N, validation_N = hold_out(100, labels_N, 0.1, seed=3)
    assert torch.bincount(labels_N[validation_N]).tolist() == [7, 2, 1]
    assert torch.cat((train_N, validation_N)).sort().values.tolist() == list(range(100))
    assert torch.equal(hold_out(100, labels_N, 0.1, seed=3)[1], validation_N)
    assert not torch.equal(hold_out(100, labels_N, 0.1, seed=4)[1], validation_N)


@pytest.mark.parametrize(
    ("n", "fraction", "held"), [(10, 0.0, 0), (10, 0.01, 1), (2, 0.9, 1), (1, 0.5, 0), (9, 0.5, 4)]
)
def test_holding_out_leaves_something_to_train_on(n: int, fraction: float, held: int) -> None:
    for labels_N in (None, torch.zeros(n, dtype=torch.int64)):
        train_N, validation_N = hold_out(n, labels_N, fraction, seed=0)
        assert (len(train_N), len(validation_N)) == (n - held, held)


def test_an_adapter_normalises_for_its_network() -> None:
    adapter = Adapter(Input(channels=3, height=4, width=4, mean=(0.1, 0.2, 0.3), std=(0.5,)), 3)
    adapted_BCHW = adapter(torch.full((1, 3, 4, 4), 0.6))
    assert torch.allclose(adapted_BCHW[0, :, 0, 0], torch.tensor([1.0, 0.8, 0.6]))
    assert not adapter.state_dict()


def test_an_adapter_changes_channels_and_size() -> None:
    grey_BCHW = torch.rand(2, 1, 28, 28)
    colour = Adapter(Input(channels=3, height=28, width=28), 1)(grey_BCHW)
    assert torch.equal(colour, grey_BCHW.expand(2, 3, 28, 28))
    red_BCHW = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    grey = Adapter(Input(channels=1, height=8, width=8), 3)(red_BCHW)
    assert torch.allclose(grey, torch.full((1, 1, 8, 8), 0.299))
    assert Adapter(Input(height=32, width=40), 1)(grey_BCHW).shape == (2, 3, 32, 40)


def test_an_adapter_refuses_other_channels() -> None:
    with pytest.raises(RunError) as caught:
        Adapter(Input(channels=4), 3)
    assert caught.value.code == "channels_mismatch"
