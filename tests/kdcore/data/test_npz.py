"""NPZ datasets: every accepted layout gives the same images; bad ones are refused with a reason."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kdcore.data.npz import read_npz
from kdcore.runtime.errors import RunError

RANDOM = np.random.default_rng(0)
NCHW = RANDOM.integers(0, 256, (6, 3, 8, 10), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def save(path: Path, **arrays: NDArray[Any]) -> Path:
    np.savez(path / "d.npz", allow_pickle=True, **arrays)
    return path / "d.npz"


def refusal(path: Path) -> RunError:
    with pytest.raises(RunError) as caught:
        read_npz(path)
    assert caught.value.pointer == "/dataset"
    return caught.value


@pytest.mark.parametrize(
    "images",
    [
        NCHW,
        NCHW.transpose(0, 2, 3, 1),
        np.asfortranarray(NCHW),
        NCHW.astype(np.int64),
        NCHW.astype(">u2"),
        NCHW / 255,
        (NCHW / 255).astype(np.float32),
    ],
)
def test_layouts_and_types_give_the_same_images(tmp_path: Path, images: NDArray[Any]) -> None:
    data = read_npz(save(tmp_path, x_train=images, y_train=LABELS))
    assert torch.equal(data.train.images_NCHW, torch.from_numpy(NCHW))
    assert data.train.images_NCHW.dtype == torch.uint8
    assert (data.channels, data.height, data.width, data.num_classes) == (3, 8, 10, 3)


def test_grey_images_need_no_channel_axis(tmp_path: Path) -> None:
    data = read_npz(save(tmp_path, x=NCHW[:, 0], y=LABELS.astype(np.uint8)))
    assert torch.equal(data.train.images_NCHW[:, 0], torch.from_numpy(NCHW[:, 0].copy()))
    assert data.train.labels_N is not None and data.train.labels_N.dtype == torch.int64


def test_masks_become_black_and_white(tmp_path: Path) -> None:
    data = read_npz(save(tmp_path, x=NCHW[:, 0] > 99, y=LABELS))
    assert set(data.train.images_NCHW.flatten().tolist()) == {0, 255}


@pytest.mark.parametrize("names", [("x_train", "y_train"), ("x", "y"), ("images", "labels")])
def test_the_names_of_the_arrays(tmp_path: Path, names: tuple[str, str]) -> None:
    data = read_npz(save(tmp_path, **{names[0]: NCHW, names[1]: LABELS[:, None]}))
    assert data.train.labels_N is not None
    assert data.train.labels_N.tolist() == LABELS.tolist()
    assert data.test is None


def test_labels_may_be_missing_and_classes_may_lack_samples(tmp_path: Path) -> None:
    unlabelled = read_npz(save(tmp_path, x_train=NCHW))
    assert unlabelled.train.labels_N is None and unlabelled.num_classes is None
    arrays = {"x_train": NCHW, "y_train": LABELS * 2, "x_test": NCHW[:1], "y_test": np.array([9])}
    gaps = read_npz(save(tmp_path, **arrays))
    assert gaps.num_classes == 10
    assert gaps.test is not None and len(gaps.test) == 1


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": NCHW}, "x_train"),
        ({"x": NCHW, "y": LABELS[:5]}, "5 labels for 6 images"),
        ({"x": NCHW, "y": LABELS - 1}, "label -1"),
        ({"x": NCHW, "y": LABELS / 2}, "float64"),
        ({"x": NCHW, "y": np.eye(6)}, "one class number per image"),
        ({"x": NCHW, "y": LABELS + 10**9}, "the limit is 1000000 classes"),
        ({"x": NCHW, "y": LABELS * 0}, "at least 2 classes"),
        ({"x": NCHW[:0], "y": LABELS[:0]}, "no images"),
        ({"x": NCHW[0, 0], "y": LABELS}, "NHW"),
        ({"x": np.zeros((2, 30, 30, 30)), "y": LABELS[:2]}, "channels"),
        ({"x": NCHW[:, :, :3], "y": LABELS}, "3x10 pixels"),
        ({"x": NCHW * 1.0, "y": LABELS}, r"\[0, 1\]"),
        ({"x": NCHW * np.nan, "y": LABELS}, "nan"),
        ({"x": NCHW * 2.0 - 1, "y": LABELS}, r"\[0, 1\]"),
        ({"x": NCHW.astype(np.int16) - 1, "y": LABELS}, r"\[0, 255\]"),
        ({"x_train": NCHW, "y_train": LABELS, "x_test": NCHW}, "test images have none"),
        ({"x_train": NCHW, "x_test": NCHW[:, :1]}, "test images are"),
        ({"x": NCHW, "y": LABELS.astype(object)}, "never Python objects"),
        ({"x": NCHW, "y": LABELS.astype(str)}, "only numbers"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], message: str
) -> None:
    error = refusal(save(tmp_path, **arrays))
    assert error.code == "bad_dataset"
    with pytest.raises(RunError, match=message):
        raise error


def npy(shape: str, content: bytes) -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


@pytest.mark.parametrize(
    "content",
    [
        npy("(99999999999, 28, 28)", b"x"),
        npy("(-1, 8, 8)", b"x" * 64),
        npy("(1, 8, 8)", b"x" * 63),
        npy("(1, 8, 8)", b"x" * 65),
        npy("__import__('os')", b""),
        b"\x93NUMPY\x09\x00",
        b"",
    ],
)
def test_a_header_that_does_not_fit_its_data_is_refused(tmp_path: Path, content: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as target:
        target.writestr("x.npy", content)
    assert refusal(tmp_path / "d.npz").code == "bad_dataset"


def test_a_bare_npy_file_is_not_an_npz(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, NCHW)
    (tmp_path / "d.npz").write_bytes(stream.getvalue())
    assert refusal(tmp_path / "d.npz").code == "bad_archive"
