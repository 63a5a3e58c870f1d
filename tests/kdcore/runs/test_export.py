"""Exports rebuild the network: the same logits from safetensors, ONNX and config.json."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from kdcore.networks.weights import load_network
from kdcore.networks.zoo import build_network
from kdcore.runs import export
from kdcore.runs.export import export_network
from kdcore.runtime.errors import RunError
from kdcore.spec.run import Input, Network

SMALL = Network(
    architecture="resnet8",
    options={"width": 0.25},
    num_classes=5,
    input=Input(channels=3, height=12, width=20, mean=(0.5, 0.4, 0.3), std=(0.2,)),
)


def trained(network: Network) -> nn.Module:
    """A network whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    module = build_network(network)
    shape = (network.input.channels, network.input.height, network.input.width)
    for _ in range(3):
        module(torch.randn(8, *shape))
    return module


def test_every_file_gives_the_logits_of_the_network(tmp_path: Path) -> None:
    module = trained(SMALL)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    artifacts = {
        a.kind: a
        for a in export_network(module, SMALL, tmp_path, ("safetensors", "onnx"), "student")
    }
    assert [a.path for a in artifacts.values()] == [
        "student.safetensors",
        "student.onnx",
        "config.json",
    ]
    for artifact in artifacts.values():
        content = (tmp_path / artifact.path).read_bytes()
        assert artifact.size_bytes == len(content)
        assert artifact.sha256 == hashlib.sha256(content).hexdigest()
    assert artifacts["weights"].max_abs_diff == 0

    image_BCHW = torch.rand(7, 3, 12, 20)
    mean_C11 = torch.tensor(SMALL.input.mean).view(3, 1, 1)
    network = Network.model_validate_json((tmp_path / "config.json").read_bytes())
    loaded = load_network(network, tmp_path / "student.safetensors").eval()
    with torch.no_grad():
        wanted_BK = module.eval()((image_BCHW - mean_C11) / 0.2)
        assert torch.allclose(loaded((image_BCHW - mean_C11) / 0.2), wanted_BK, atol=1e-5)
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx")
    (given_BK,) = session.run(["logits"], {"image": image_BCHW.numpy()})
    np.testing.assert_allclose(given_BK, wanted_BK.numpy(), atol=1e-4)


def test_the_onnx_file_describes_its_input_and_not_where_it_was_made(tmp_path: Path) -> None:
    export_network(trained(SMALL), SMALL, tmp_path, ("onnx",), "student")
    model = onnx.load(tmp_path / "student.onnx")
    properties = {p.key: p.value for p in model.metadata_props}
    assert Network.model_validate_json(properties["network"]) == SMALL
    assert json.loads(properties["normalisation"])["inside"] is True
    assert "not normalised" in model.doc_string
    assert str(Path(export.__file__).parent).encode() not in model.SerializeToString()


def test_the_module_and_the_random_state_do_not_change(tmp_path: Path) -> None:
    module = trained(SMALL)
    module.register_forward_hook(lambda *_: pytest.fail("a hook ran during the export"))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = torch.get_rng_state()
    export_network(module, SMALL, tmp_path, ("safetensors", "onnx"), "student")
    assert module.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_parameters_that_are_not_the_networks_are_not_exported(tmp_path: Path) -> None:
    module = trained(SMALL)
    module.add_module("regressor", nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="regressor"):
        export_network(module, SMALL, tmp_path, ("safetensors",), "student")


@pytest.mark.parametrize("name", ["mobilenetv2", "shufflenetv2", "wrn_16_1", "timm/test_vit"])
def test_other_kinds_of_networks_export(tmp_path: Path, name: str) -> None:
    network = Network(architecture=name, num_classes=3, input=Input(height=32, width=32))
    artifacts = export_network(trained(network), network, tmp_path, ("onnx",), "student")
    assert [a.kind for a in artifacts] == ["onnx", "config"]


def test_torchs_newer_exporter_takes_over_where_tracing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: nn.Module, image_BCHW: Tensor, path: Path) -> None:
        raise RuntimeError("no symbolic")

    monkeypatch.setattr(export, "_convert_by_tracing", fail)
    artifacts = export_network(trained(SMALL), SMALL, tmp_path, ("onnx",), "student")
    assert artifacts[0].max_abs_diff is not None
    model = onnx.load(tmp_path / "student.onnx")
    assert str(Path(export.__file__).parent).encode() not in model.SerializeToString()


def test_a_file_with_other_logits_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = export._open_onnx

    def wrong(path: Path) -> Callable[[Tensor], Tensor]:
        run = opened(path)
        return lambda image_BCHW: run(image_BCHW) + 0.1

    monkeypatch.setattr(export, "_open_onnx", wrong)
    monkeypatch.setattr(export, "_convert_by_exporting", export._convert_by_tracing)
    with pytest.raises(RunError, match=r"differ from the network's by 0\.1") as caught:
        export_network(trained(SMALL), SMALL, tmp_path, ("onnx",), "student")
    assert caught.value.code == "export_failed"
    assert not (tmp_path / "student.onnx").exists()
