"""The first look at uploaded bytes: cut-off and mistaken files are told at once."""

import io
import json
import zipfile

import pytest

from kdcore.spec.parts import DatasetFormat, WeightsFormat
from store import content
from store.blobs import LocalBlobs
from store.errors import Invalid


def safetensors(header: object, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x_train.npy", b"0" * 1000)
    return file.getvalue()


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
WEIGHTS = safetensors({"__metadata__": {"format": "pt"}, "w": TENSOR}, b"12345678")


@pytest.mark.parametrize(
    ("format", "body"),
    [
        ("safetensors", WEIGHTS),
        ("safetensors", safetensors({}, b"")),
        ("npz", zipped()),
        ("folder", zipped()),
        ("idx", zipped()),
        ("state_dict", b"anything: only the child opens it"),
    ],
)
def test_whole_files_pass(
    blobs: LocalBlobs, format: WeightsFormat | DatasetFormat, body: bytes
) -> None:
    content.check(blobs, blobs.put_stream([body]).sha256, format)


@pytest.mark.parametrize(
    ("format", "body", "code"),
    [
        ("safetensors", WEIGHTS[:-1], "truncated"),
        ("safetensors", WEIGHTS + b"x", "bad_weights"),
        ("safetensors", WEIGHTS[:5], "bad_weights"),
        ("safetensors", b"\xff" * 100, "bad_weights"),
        ("safetensors", (90).to_bytes(8, "little") + b"{}" * 10, "bad_weights"),
        ("safetensors", safetensors([1], b""), "bad_weights"),
        ("safetensors", safetensors({"w": 1}, b""), "bad_weights"),
        ("safetensors", safetensors({"w": {"data_offsets": [8, 0]}}, b""), "bad_weights"),
        ("safetensors", safetensors({"w": {"data_offsets": ["a", 0]}}, b""), "bad_weights"),
        ("npz", zipped()[:-30], "truncated"),
        ("folder", b"\x1f\x8bgzip", "bad_archive"),
        ("idx", b"x", "bad_archive"),
    ],
)
def test_wrong_files_are_told(
    blobs: LocalBlobs, format: WeightsFormat | DatasetFormat, body: bytes, code: str
) -> None:
    with pytest.raises(Invalid) as caught:
        content.check(blobs, blobs.put_stream([body]).sha256, format)
    assert (caught.value.code, caught.value.pointer) == (code, "/upload")
