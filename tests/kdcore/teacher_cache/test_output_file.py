"""A file of teacher outputs: values come back in half precision, complete or not at all."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kdcore.teacher_cache.output_file import OutputFile, output_key, to_half

FACTS = {"teachers": ["a"], "views": 2}
INDEX = torch.tensor([3, 0])
VALUES = torch.tensor([[1.0, 0.1], [-2.0, 1e9]])


def _open(folder: Path) -> OutputFile:
    return OutputFile(folder, FACTS, views=2, samples=5, features=2)


def _filled(folder: Path) -> Path:
    """A finished file with two samples of the second view."""
    output_file = _open(folder)
    output_file.put(1, INDEX, VALUES)
    output_file.finish()
    return folder / f"{output_file.key}.safetensors"


def test_what_is_put_comes_back_in_half_precision_within_its_range(tmp_path: Path) -> None:
    output_file = _open(tmp_path)
    assert not output_file.has(1, INDEX).any()
    output_file.put(1, INDEX, VALUES)
    expected = torch.tensor([[1.0, 0.1], [-2.0, 65504.0]]).half().float()
    assert torch.equal(output_file.get(1, INDEX), expected)
    assert output_file.has(1, torch.tensor([0, 1, 3])).tolist() == [True, False, True]
    assert not output_file.has(0, INDEX).any(), "another view of them"


def test_bfloat16_loses_nothing() -> None:
    values = torch.randn(100).to(torch.bfloat16)
    assert torch.equal(to_half(values).float(), values.float())


def test_a_finished_file_is_a_safetensors_file_that_describes_its_content(tmp_path: Path) -> None:
    path = _filled(tmp_path)
    assert path.stem == output_key(FACTS) and list(tmp_path.iterdir()) == [path]
    tensors = load_file(path)
    assert tensors["present"].tolist() == [[0] * 5, [1, 0, 0, 1, 0]]
    assert tensors["values"].dtype == torch.float16
    assert torch.equal(_open(tmp_path).get(1, INDEX)[0], VALUES[0].half().float())


def test_a_finished_file_never_changes_but_grows_under_another_name(tmp_path: Path) -> None:
    path = _filled(tmp_path)
    before = path.read_bytes()
    output_file = _open(tmp_path)
    output_file.put(0, torch.tensor([4]), torch.ones(1, 2))
    output_file.flush()
    assert path.read_bytes() == before
    output_file.finish()
    again = _open(tmp_path)
    assert again.has(0, torch.tensor([4])) and again.has(1, INDEX).all()
    assert len(list(tmp_path.iterdir())) == 1


def test_after_a_kill_what_was_flushed_is_there_and_nothing_else(tmp_path: Path) -> None:
    output_file = _open(tmp_path)
    output_file.put(0, torch.tensor([1]), torch.ones(1, 2))
    output_file.flush()
    output_file.put(0, torch.tensor([2]), torch.ones(1, 2))
    del output_file
    again = _open(tmp_path)
    assert again.has(0, torch.tensor([1, 2])).tolist() == [True, False]
    again.finish()
    assert [p.suffix for p in tmp_path.iterdir()] == [".safetensors"]


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(bytes(data))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _lie(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'\\"a\\"', b'\\"b\\"'))


@pytest.mark.parametrize("damage", [_flip_a_bit, _cut, _lie])
def test_a_damaged_file_is_noticed_and_created_again(damage: object, tmp_path: Path) -> None:
    path = _filled(tmp_path)
    damage(path)  # type: ignore[operator]
    output_file = _open(tmp_path)
    assert output_file.warning is not None and path.name in output_file.warning
    assert not output_file.has(1, INDEX).any() and not path.exists()
    output_file.put(1, INDEX, VALUES)
    output_file.finish()
    assert _open(tmp_path).warning is None


def test_other_facts_are_another_file() -> None:
    keys = {output_key(facts) for facts in (FACTS, {**FACTS, "views": 3}, {**FACTS, "seed": 1})}
    assert len(keys) == 3


def test_nothing_put_leaves_no_file(tmp_path: Path) -> None:
    output_file = _open(tmp_path)
    output_file.flush()
    output_file.finish()
    assert list(tmp_path.iterdir()) == []
