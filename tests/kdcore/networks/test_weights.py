"""Weights load strictly or are refused with a reason; nothing in a file is executed."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kdcore.networks.weights import load_network, save_weights
from kdcore.networks.zoo import build_network
from kdcore.runtime.errors import RunError
from kdcore.spec.codes import Exit
from kdcore.spec.recipe import WeightsFormat
from tests.kdcore.networks.test_zoo import network

NETWORK = network("resnet8", options={"width": 0.25})


class Bomb:
    """Unpickled by an ordinary reader, it writes a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return build_network(NETWORK)


def refusal(path: Path, format: WeightsFormat = "state_dict") -> RunError:
    with pytest.raises(RunError) as caught:
        load_network(NETWORK, path, format)
    assert caught.value.exit == Exit.BAD_INPUT
    return caught.value


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for (name, x), (other, y) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(x, y), name


def test_safetensors_come_back_bit_for_bit(module: nn.Module, tmp_path: Path) -> None:
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_weights(module, tmp_path / "w")
    assert_same(load_network(NETWORK, tmp_path / "w"), module)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_loads_from_both_of_torchs_formats(
    module: nn.Module, tmp_path: Path, zipped: bool
) -> None:
    torch.save(module.state_dict(), tmp_path / "w", _use_new_zipfile_serialization=zipped)
    assert_same(load_network(NETWORK, tmp_path / "w", "state_dict"), module)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_ema"])
@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
def test_wrappers_and_prefixes_are_unpacked(
    module: nn.Module, tmp_path: Path, wrapper: str, prefix: str
) -> None:
    inner = {prefix + name: tensor for name, tensor in module.state_dict().items()}
    torch.save({"epoch": 3, wrapper: inner, "lr": [0.1]}, tmp_path / "w")
    assert_same(load_network(NETWORK, tmp_path / "w", "state_dict"), module)


def test_half_precision_is_converted(module: nn.Module, tmp_path: Path) -> None:
    save_weights(module.to(torch.bfloat16), tmp_path / "w")
    loaded = load_network(NETWORK, tmp_path / "w")
    assert_same(loaded, module.float())


def test_what_does_not_fit_is_named(module: nn.Module, tmp_path: Path) -> None:
    tensors: dict[str, Tensor] = dict(module.state_dict())
    del tensors["stem.0.weight"]
    tensors["extra"] = torch.ones(1)
    tensors["head.linear.weight"] = torch.ones(100, 16)
    tensors["stem.1.bias"] = torch.ones(4, dtype=torch.int64)
    torch.save(tensors, tmp_path / "w")
    error = refusal(tmp_path / "w")
    assert error.code == "weights_mismatch"
    for part in (
        "missing: stem.0.weight",
        "unexpected: extra",
        "head.linear.weight 100x16 for 10x16",
        "stem.1.bias torch.int64",
    ):
        assert part in error.message


def test_weights_that_are_not_finite_are_refused(module: nn.Module, tmp_path: Path) -> None:
    next(module.parameters()).data[0] = torch.nan
    save_weights(module, tmp_path / "w")
    assert refusal(tmp_path / "w", "safetensors").code == "bad_weights"


def test_a_pickle_bomb_does_not_go_off(module: nn.Module, tmp_path: Path) -> None:
    target = tmp_path / "written"
    torch.save({"state_dict": module.state_dict(), "x": Bomb(target)}, tmp_path / "zipped")
    (tmp_path / "plain").write_bytes(pickle.dumps(Bomb(target)))
    (tmp_path / "old").write_bytes(pickle.dumps(Bomb(target), protocol=2))
    for name in ("zipped", "plain", "old"):
        error = refusal(tmp_path / name)
        assert error.code == "unsafe_weights"
        assert "weights_only" not in error.message  # torch's advice: load it anyway
        assert refusal(tmp_path / name, "safetensors").code == "bad_weights"
    assert not target.exists()
    pickle.loads((tmp_path / "plain").read_bytes())
    assert target.exists(), "the bomb of this test is a real one"


def test_a_pickled_module_is_refused(module: nn.Module, tmp_path: Path) -> None:
    torch.save(module, tmp_path / "w")
    error = refusal(tmp_path / "w")
    assert error.code == "unsafe_weights"
    assert "ResNet" in error.message


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused(module: nn.Module, tmp_path: Path) -> None:
    torch.jit.trace(module.eval(), torch.zeros(1, 3, 32, 32)).save(tmp_path / "w")  # type: ignore[no-untyped-call]
    error = refusal(tmp_path / "w")
    assert error.code == "unsafe_weights"
    assert "TorchScript" in error.message


def test_an_exported_program_is_refused(tmp_path: Path) -> None:
    program = torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "w.pt2")
    assert refusal(tmp_path / "w.pt2").code == "unsafe_weights"


def test_a_compressed_archive_is_refused(module: nn.Module, tmp_path: Path) -> None:
    torch.save(module.state_dict(), tmp_path / "w")
    with (
        zipfile.ZipFile(tmp_path / "w") as stored,
        zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for name in stored.namelist():
            deflated.writestr(name, stored.read(name))
    assert refusal(tmp_path / "z").code == "unsafe_weights"


@pytest.mark.parametrize("part", [0.0, 0.0001, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("format", ["safetensors", "state_dict"])
def test_a_truncated_file_is_refused(
    module: nn.Module, tmp_path: Path, part: float, format: WeightsFormat
) -> None:
    if format == "safetensors":
        save_weights(module, tmp_path / "w")
    else:
        torch.save(module.state_dict(), tmp_path / "w")
    content = (tmp_path / "w").read_bytes()
    (tmp_path / "w").write_bytes(content[: int(len(content) * part)])
    assert refusal(tmp_path / "w", format).code == "bad_weights"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04" + b"\xff" * 99, "zip"),
        (b"\x89HDF\r\n\x1a\n" + b"\xff" * 99, "HDF5"),
        (b"\xff" * 99, "header"),
        (b"\x08" + b"\x00" * 7 + b"not json", "JSON"),
        (b"\x00\x00\x00\x01" + b"\x00" * 4, "header"),
    ],
)
def test_what_is_not_a_safetensors_file_is_recognised_by_content(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "w").write_bytes(content)
    error = refusal(tmp_path / "w", "safetensors")
    assert error.code == "bad_weights"
    assert message in error.message


@pytest.mark.parametrize("value", [{"a": 1}, [1, 2], {}, {"state_dict": {"a": "b"}}])
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "w")
    assert refusal(tmp_path / "w").code == "bad_weights"


def test_equal_weights_are_equal_bytes(module: nn.Module, tmp_path: Path) -> None:
    """A resumed run is compared with an uninterrupted one by the hash of this file."""
    for number in range(8):
        save_weights(module, tmp_path / str(number), {"network": "{}"})
    assert len({(tmp_path / str(number)).read_bytes() for number in range(8)}) == 1
