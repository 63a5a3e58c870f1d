"""Hashes of files and of JSON values."""

import hashlib
from pathlib import Path

from kdcore.runtime.hashing import file_sha256, json_sha256


def test_a_file_is_hashed_by_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(data)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_a_value_is_hashed_whatever_the_order_of_its_keys() -> None:
    value = {"b": [1, 2], "a": {"d": None, "c": 0.5}}
    assert json_sha256(value) == json_sha256({"a": {"c": 0.5, "d": None}, "b": [1, 2]})
    assert json_sha256({}) == hashlib.sha256(b"{}").hexdigest()
    others = ({**value, "b": [2, 1]}, {**value, "a": None}, {**value, "e": 0})
    assert len({json_sha256(v) for v in (value, *others)}) == 4
