"""IDX datasets, like MNIST: plain or gzipped, in a directory or a zip."""

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore.data.idx import read_idx
from kdcore.runtime.errors import RunError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 10), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 3, 1, 2], np.uint8)


def idx(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    return (
        struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()
    )


FILES = {
    "train-images-idx3-ubyte": idx(IMAGES),
    "train-labels-idx1-ubyte": idx(LABELS),
    "t10k-images-idx3-ubyte": idx(IMAGES[:2]),
    "t10k-labels-idx1-ubyte": idx(LABELS[:2]),
}


def write(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.mark.parametrize("prefix", ["", "folder/"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("gzipped", [True, False])
def test_the_four_files_are_found(tmp_path: Path, prefix: str, zipped: bool, gzipped: bool) -> None:
    files = {
        f"{prefix}{name}{'.gz' * gzipped}": gzip.compress(content) if gzipped else content
        for name, content in FILES.items()
    }
    path = tmp_path
    if zipped:
        path = tmp_path / "d.zip"
        with zipfile.ZipFile(path, "w") as target:
            for name, content in files.items():
                target.writestr(name, content)
    else:
        write(path, files)
    data = read_idx(path)
    assert torch.equal(data.train.images_NCHW[:, 0], torch.from_numpy(IMAGES))
    assert data.train.labels_N is not None and data.train.labels_N.tolist() == LABELS.tolist()
    assert data.test is not None and len(data.test) == 2
    assert (data.channels, data.height, data.width, data.num_classes) == (1, 8, 10, 4)


@pytest.mark.parametrize(
    "names", [("train-images.idx3-ubyte",), ("emnist-letters-train-images-idx3-ubyte",)]
)
def test_other_common_names_and_unlabelled_images(tmp_path: Path, names: tuple[str]) -> None:
    data = read_idx(write(tmp_path, {names[0]: idx(IMAGES)}))
    assert data.train.labels_N is None
    assert data.test is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme.txt": b""}, "train-images-idx3-ubyte"),
        ({"train-images-idx3-ubyte": idx(IMAGES)[:-1]}, "another number of bytes than its shape"),
        ({"train-images-idx3-ubyte": idx(IMAGES) + b"x"}, "another number of bytes than its shape"),
        ({"train-images-idx3-ubyte": idx(LABELS)}, "3 axes"),
        ({"train-images-idx3-ubyte": b"\x00\x00\x08\x03\x00"}, "damaged"),
        ({"train-images-idx3-ubyte": b""}, "3 axes"),
        ({"train-images-idx3-ubyte.gz": b"no gzip"}, "damaged"),
        ({"train-images-idx3-ubyte.gz": gzip.compress(idx(IMAGES))[:-20]}, "damaged"),
        ({"train-images-idx3-ubyte": idx(IMAGES[:, :3])}, "3x10 pixels"),
        (FILES | {"train-labels-idx1-ubyte": idx(LABELS[:5])}, "5 labels for 6 images"),
        (FILES | {"more/train-images-idx3-ubyte": idx(IMAGES)}, "both"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    with pytest.raises(RunError, match=message) as caught:
        read_idx(write(tmp_path, files))
    assert caught.value.code == "bad_dataset"


def test_a_gzip_bomb_is_inflated_no_further_than_its_shape(tmp_path: Path) -> None:
    bomb = gzip.compress(idx(IMAGES) + bytes(10**7))
    with pytest.raises(RunError, match="another number of bytes than its shape"):
        read_idx(write(tmp_path, {"train-images-idx3-ubyte.gz": bomb}))


def test_a_huge_shape_is_refused_before_memory_is_allocated(tmp_path: Path) -> None:
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 1000, 1000)
    with pytest.raises(RunError) as caught:
        read_idx(write(tmp_path, {"train-images-idx3-ubyte": header}))
    assert caught.value.code == "dataset_too_large"
