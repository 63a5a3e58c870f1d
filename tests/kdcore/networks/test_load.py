"""An exported network is loaded by its file alone, and normalises images itself."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kdcore.networks.load import load_student
from kdcore.networks.zoo import build_network
from kdcore.runs.export import export_network
from kdcore.runtime.errors import RunError
from kdcore.spec.run import Input, Network

INPUT = Input(channels=1, height=16, width=16, mean=(0.3,), std=(0.2,))
NETWORK = Network(architecture="resnet8", options={"width": 0.25}, num_classes=4, input=INPUT)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    """A network with random weights and statistics, and the folder it was exported to."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("student")
    module = build_network(NETWORK)
    module(torch.rand(8, 1, 16, 16))  # batch norms that are not the identity
    export_network(module, NETWORK, folder, ("safetensors",), "student")
    return module.eval(), folder


def test_it_takes_raw_images_and_gives_the_networks_logits(
    exported: tuple[torch.nn.Module, Path],
) -> None:
    module, folder = exported
    student = load_student(folder)
    assert not student.training
    image_BCHW = torch.rand(3, 1, 16, 16)
    with torch.no_grad():
        logits_BK = student(image_BCHW)
        assert torch.equal(logits_BK, module((image_BCHW - 0.3) / 0.2))
        assert torch.equal(logits_BK, student.network((image_BCHW - 0.3) / 0.2))


def test_the_file_alone_is_enough(exported: tuple[torch.nn.Module, Path], tmp_path: Path) -> None:
    file = shutil.copy(exported[1] / "student.safetensors", tmp_path / "renamed.safetensors")
    assert load_student(str(file)).network.state_dict().keys() == exported[0].state_dict().keys()


def test_other_files_are_refused_with_a_reason(
    exported: tuple[torch.nn.Module, Path], tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"no file .*student\.safetensors"):
        load_student(tmp_path)
    strange = tmp_path / "strange.safetensors"
    save_file(load_file(exported[1] / "student.safetensors"), strange)
    with pytest.raises(RunError, match="does not describe one"):
        load_student(strange)
    strange.write_bytes(b"not safetensors")
    with pytest.raises(RunError, match="does not describe one"):
        load_student(strange)
