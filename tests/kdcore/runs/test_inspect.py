"""Inspection of an uploaded model and dataset: its result, and the files in out/."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore.networks.weights import load_network, save_weights
from kdcore.networks.zoo import build_network
from kdcore.runs.inspect import inspect_dataset, inspect_model
from kdcore.runtime.errors import RunError
from kdcore.spec.run import InspectDatasetRun, InspectModelRun, Network, RunDataset

NETWORK = Network(architecture="resnet8", options={"width": 0.25}, num_classes=5)


def test_a_state_dict_becomes_safetensors(tmp_path: Path) -> None:
    module = build_network(NETWORK)
    torch.save({"state_dict": module.state_dict()}, tmp_path / "teacher.pt")
    run = InspectModelRun(
        network=NETWORK, weights=str(tmp_path / "teacher.pt"), format="state_dict"
    )
    result = inspect_model(run, tmp_path)
    assert result.parameters == sum(p.numel() for p in module.parameters())
    assert "stage2.0.relu2" in result.modules
    assert [a.kind for a in result.artifacts] == ["weights"]
    loaded = load_network(result.network, tmp_path / result.artifacts[0].path)
    assert torch.equal(next(loaded.parameters()), next(module.parameters()))


def test_safetensors_are_converted_only_to_other_number_types(tmp_path: Path) -> None:
    """What the network would save itself stays the one copy there is."""
    module = build_network(NETWORK)
    path = tmp_path / "teacher.safetensors"
    run = InspectModelRun(network=NETWORK, weights=str(path), format="safetensors")
    save_weights(module, path)
    assert inspect_model(run, tmp_path).artifacts == ()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    save_weights(module.half(), path)
    (weights,) = inspect_model(run, tmp_path).artifacts
    loaded = load_network(NETWORK, tmp_path / weights.path)
    assert torch.equal(next(loaded.parameters()), next(module.parameters()).float())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(build_network(NETWORK).state_dict(), tmp_path / "w")
    other = NETWORK.model_copy(update={"num_classes": 6})
    run = InspectModelRun(network=other, weights=str(tmp_path / "w"), format="state_dict")
    with pytest.raises(RunError) as caught:
        inspect_model(run, tmp_path)
    assert caught.value.code == "weights_mismatch"
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_dataset_is_described(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "d.npz",
        x_train=np.zeros((6, 8, 10, 3), np.uint8),
        y_train=np.array([0, 1, 2, 0, 1, 2]),
        x_test=np.zeros((2, 8, 10, 3), np.uint8),
        y_test=np.array([0, 3]),
    )
    dataset = RunDataset(path=str(tmp_path / "d.npz"), format="npz")
    result = inspect_dataset(InspectDatasetRun(dataset=dataset))
    assert (result.train, result.test, result.labelled, result.num_classes) == (6, 2, True, 4)
    assert (result.channels, result.height, result.width, result.uniform) == (3, 8, 10, True)
