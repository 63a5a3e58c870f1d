"""The demo's digits: real, split once for all, the same bytes every time."""

import hashlib
from pathlib import Path

import numpy as np

from distillery.cli.digits import write_digits


def test_the_split_is_stratified_disjoint_and_always_the_same(tmp_path: Path) -> None:
    first = write_digits(tmp_path / "a.npz").read_bytes()
    assert (
        hashlib.sha256(first).digest()
        == hashlib.sha256(write_digits(tmp_path / "b.npz").read_bytes()).digest()
    )
    arrays = np.load(tmp_path / "a.npz", allow_pickle=False)
    assert arrays["x_train"].shape == (4000, 28, 28) and arrays["x_train"].dtype == np.uint8
    assert arrays["x_test"].shape == (1000, 28, 28)
    assert np.bincount(arrays["y_train"]).tolist() == [400] * 10
    assert np.bincount(arrays["y_test"]).tolist() == [100] * 10
    train = {image.tobytes() for image in arrays["x_train"]}
    test = {image.tobytes() for image in arrays["x_test"]}
    assert not train & test
