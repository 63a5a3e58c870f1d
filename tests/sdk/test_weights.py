"""Weights as people have them: torch files, modules, state dicts, and self-describing exports."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from distillery.sdk.weights import stored_network, weights_file, weights_format
from kdcore.networks.weights import save_weights
from kdcore.spec.run import Network


def test_a_module_becomes_a_safetensors_file_for_a_while() -> None:
    module = torch.nn.BatchNorm1d(3)  # with a scalar among its buffers
    with weights_file(module) as path:
        assert path.name == "model.safetensors"
        tensors = load_file(path)
    assert not path.exists()
    assert {name: t.shape for name, t in tensors.items()} == {
        name: t.shape for name, t in module.state_dict().items()
    }
    assert tensors["num_batches_tracked"].dtype == torch.int64


def test_a_mapping_may_hold_any_tensors() -> None:
    strided = torch.arange(6.0).reshape(2, 3).T
    half = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    with weights_file({"a": strided, "b": half, "c": np.zeros(2)}) as path:
        tensors = load_file(path)
    assert torch.equal(tensors["a"], strided)
    assert tensors["b"].dtype == torch.float32 and tensors["c"].shape == (2,)


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(b"x")
    with weights_file(str(path)) as same:
        assert same == path


@pytest.mark.parametrize("legacy", [False, True])
def test_the_format_is_told_by_name_or_content(tmp_path: Path, legacy: bool) -> None:
    state = {"w": torch.zeros(2)}
    for name in ("net.pt", "net"):
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=not legacy)
        assert weights_format(tmp_path / name) == "state_dict"
    save_file(state, tmp_path / "unnamed")
    assert weights_format(tmp_path / "unnamed") == "safetensors"
    # The first byte of a header of 0x80 bytes is the one that a pickle starts with.
    (tmp_path / "net.safetensors").write_bytes(b"\x80\x02")
    assert weights_format(tmp_path / "net.safetensors") == "safetensors"


def test_an_export_describes_its_network(tmp_path: Path) -> None:
    network = Network(architecture="resnet8", num_classes=10)
    path = tmp_path / "student.safetensors"
    save_weights(torch.nn.Linear(2, 2), path, {"network": network.model_dump_json()})
    assert stored_network(path) == network
    save_weights(torch.nn.Linear(2, 2), path)
    assert stored_network(path) is None
    save_weights(torch.nn.Linear(2, 2), path, {"network": "{}"})
    assert stored_network(path) is None
    for content in (b"", b"short", b"\xff" * 100, bytes(8), b"\x02" + bytes(7) + b"[]"):
        path.write_bytes(content)
        assert stored_network(path) is None
