"""Quick checks of uploaded bytes: truncated files and other file types are refused."""

import io
import zipfile

import pytest

from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.catalog import sniff
from distillery.store.errors import Invalid
from kdcore.spec.recipe import DatasetFormat, WeightsFormat
from tests.api.makers import safetensors


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x_train.npy", b"0" * 1000)
    return file.getvalue()


WEIGHTS = safetensors({"w": [2]})


@pytest.mark.parametrize(
    ("format", "body"),
    [
        ("safetensors", WEIGHTS),
        ("npz", zipped()),
        ("folder", zipped()),
        ("idx", zipped()),
        ("state_dict", b"anything: only the child opens it"),
    ],
)
def test_whole_files_pass(
    blobs: LocalBlobs, format: WeightsFormat | DatasetFormat, body: bytes
) -> None:
    sniff.check(blobs, blobs.put_stream([body]).sha256, format)


@pytest.mark.parametrize(
    ("format", "body", "code"),
    [
        ("safetensors", WEIGHTS[:-1], "truncated"),
        ("safetensors", WEIGHTS + b"x", "bad_weights"),
        ("npz", zipped()[:-30], "truncated"),
        ("folder", b"\x1f\x8bgzip", "bad_archive"),
        ("idx", b"x", "bad_archive"),
    ],
)
def test_wrong_files_are_refused(
    blobs: LocalBlobs, format: WeightsFormat | DatasetFormat, body: bytes, code: str
) -> None:
    with pytest.raises(Invalid) as caught:
        sniff.check(blobs, blobs.put_stream([body]).sha256, format)
    assert (caught.value.code, caught.value.pointer) == (code, "/upload")
