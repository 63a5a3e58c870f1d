"""A dataset at the size a run needs: stretched, padded, limited."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore.data.source import load_dataset
from kdcore.runtime.errors import RunError
from kdcore.spec.run import RunDataset

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 9), dtype=np.uint8)


@pytest.fixture
def dataset(tmp_path: Path) -> RunDataset:
    np.savez(
        tmp_path / "d.npz",
        x_train=IMAGES,
        y_train=np.arange(6) % 2,
        x_test=IMAGES[:2],
        y_test=np.arange(2),
    )
    return RunDataset(path=str(tmp_path / "d.npz"), format="npz")


def test_a_dataset_keeps_its_own_size(dataset: RunDataset) -> None:
    data = load_dataset(dataset, None)
    assert (data.height, data.width) == (8, 9)
    assert torch.equal(data.train.images_NCHW[:, 0], torch.from_numpy(IMAGES))


def test_images_are_stretched_first_and_padded_after(dataset: RunDataset) -> None:
    data = load_dataset(dataset, (16, 18), pad_to=(18, 21))
    assert (data.height, data.width) == (18, 21)
    assert data.test is not None and data.test.images_NCHW.shape == (2, 1, 18, 21)
    inner = load_dataset(dataset, (16, 18)).train.images_NCHW
    assert torch.equal(data.train.images_NCHW[:, :, 1:17, 1:19], inner)
    assert data.train.images_NCHW.sum() == inner.sum()


def test_stretching_keeps_the_brightness(dataset: RunDataset) -> None:
    small = load_dataset(dataset, (4, 4)).train.images_NCHW.double().mean()
    assert abs(small - IMAGES.mean()) < 2


def test_a_limit_keeps_only_the_first_training_images(dataset: RunDataset) -> None:
    data = load_dataset(dataset, train_limit=4)
    assert len(data.train) == 4
    assert torch.equal(data.train.images_NCHW[:, 0], torch.from_numpy(IMAGES[:4]))
    assert data.train.labels_N is not None and data.train.labels_N.tolist() == [0, 1, 0, 1]
    assert data.test is not None and len(data.test) == 2
    assert len(load_dataset(dataset, train_limit=99).train) == 6


def test_padding_to_less_is_refused(dataset: RunDataset) -> None:
    with pytest.raises(RunError) as caught:
        load_dataset(dataset, pad_to=(7, 32))
    assert (caught.value.code, caught.value.pointer) == ("bad_pad", "/data/pad_to")


def test_an_npz_declared_as_a_folder_is_refused(dataset: RunDataset) -> None:
    with pytest.raises(RunError, match="no images"):
        load_dataset(dataset.model_copy(update={"format": "folder"}))
