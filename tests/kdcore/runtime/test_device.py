"""Devices and precision: what `auto` means here, and clear errors for what is missing."""

import ctypes

import pytest
import torch

from kdcore.runtime.device import ChannelsLast, open_device
from kdcore.runtime.errors import RunError

CAPABILITIES = "torch.cpu.get_capabilities"


@pytest.mark.parametrize(
    ("units", "precision"),
    [({}, "fp32"), ({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16")],
)
def test_auto_takes_bf16_only_if_the_cpu_computes_it_natively(
    monkeypatch: pytest.MonkeyPatch, units: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(CAPABILITIES, lambda: units)
    assert open_device("cpu", "auto", None).precision == precision


@pytest.mark.parametrize(
    ("name", "precision", "code", "pointer"),
    [
        ("cpu", "fp16", "precision_not_supported", "/precision"),
        ("toaster", "auto", "no_device", "/device"),
        ("cuda:99", "auto", "no_device", "/device"),
    ],
)
def test_a_missing_device_is_named(name: str, precision: str, code: str, pointer: str) -> None:
    with pytest.raises(RunError) as caught:
        open_device(name, precision, None)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.pointer) == (code, pointer)


def test_cublas_would_find_its_workspace_fixed() -> None:
    """In the C library's environment, which `os.environ` does not follow."""
    open_device("cpu", "fp32", None)
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    assert getenv(b"CUBLAS_WORKSPACE_CONFIG") == b":4096:8"
    assert torch.are_deterministic_algorithms_enabled()


def test_bf16_autocasts_and_fp32_does_not() -> None:
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with open_device("cpu", precision, None).autocast():  # type: ignore[arg-type]
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is dtype


def test_the_profile_holds_what_fixes_the_bits() -> None:
    profile = open_device("cpu", "fp32", 1).profile()
    assert (profile.torch, profile.threads, profile.precision) == (torch.__version__, 1, "fp32")
    assert profile.device


def test_channels_last_keeps_the_values_and_fixes_the_format_even_of_one_channel() -> None:
    image_BHWC = torch.rand(2, 4, 5, 1)
    for given_BCHW in (image_BHWC.permute(0, 3, 1, 2), image_BHWC.reshape(2, 1, 4, 5)):
        out_BCHW = ChannelsLast()(given_BCHW)
        assert torch.equal(out_BCHW, given_BCHW) and out_BCHW.stride() == (20, 1, 5, 1)
