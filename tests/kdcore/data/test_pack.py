"""Packs: decoded once, complete or absent, checked before they are mapped."""

import os
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kdcore.data import pack, packfile, source
from kdcore.data.fit import Fit
from kdcore.data.images import ImageData
from kdcore.data.source import load_dataset, pack_key
from kdcore.data.statistics import data_statistics
from kdcore.runtime.errors import RunError
from kdcore.spec.codes import Exit
from kdcore.spec.run import RunDataset

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)


@pytest.fixture
def npz(tmp_path: Path) -> RunDataset:
    path = tmp_path / "d.npz"
    np.savez(path, x_train=IMAGES, y_train=np.arange(6) % 3, x_test=IMAGES[:2], y_test=[0, 2])
    return RunDataset(path=str(path), format="npz")


@pytest.fixture
def pictures(tmp_path: Path) -> RunDataset:
    """Images of two sizes in two classes."""
    for index in range(6):
        for split in ("train", "test"):
            path = tmp_path / "images" / split / "ab"[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            size = (9 + index % 3, 8)
            Image.fromarray(IMAGES[index]).resize(size).save(path)
    return RunDataset(path=str(tmp_path / "images"), format="folder")


@pytest.fixture(params=["npz", "pictures"])
def dataset(request: pytest.FixtureRequest) -> RunDataset:
    found: RunDataset = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    return tmp_path / "packs"


def same(a: ImageData, b: ImageData) -> bool:
    pairs = [(a.train, b.train)]
    if a.test is not None and b.test is not None:
        pairs.append((a.test, b.test))
    plain = (a.class_names, a.num_classes, a.channels, a.height, a.width, a.uniform)
    return plain == (b.class_names, b.num_classes, b.channels, b.height, b.width, b.uniform) and (
        (a.test is None) == (b.test is None)
        and all(torch.equal(x.images_NCHW, y.images_NCHW) for x, y in pairs)
        and all(
            x.labels_N is not None
            and y.labels_N is not None
            and torch.equal(x.labels_N, y.labels_N)
            for x, y in pairs
        )
    )


def refuse_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> ImageData:
        raise AssertionError("it was decoded again")

    monkeypatch.setattr(source, "_read", never)


FITS: list[Callable[..., ImageData]] = [
    lambda d, **kw: load_dataset(d, **kw),
    lambda d, **kw: load_dataset(d, (12, 14), **kw),
    lambda d, **kw: load_dataset(d, (6, 6), resize_to=7, **kw),
    lambda d, **kw: load_dataset(d, (8, 8), pad_to=(16, 16), train_limit=3, **kw),
]


@pytest.mark.parametrize("load", FITS)
def test_a_pack_holds_what_memory_would_and_is_mapped_the_second_time(
    dataset: RunDataset,
    packs: Path,
    load: Callable[..., ImageData],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, first = load(dataset), load(dataset, packs=packs)
    refuse_decoding(monkeypatch)
    second = load(dataset, packs=packs)
    assert same(plain, first) and same(plain, second)
    assert first.train.mapped and second.train.mapped and not plain.train.mapped
    assert second.train.images_NCHW.permute(0, 2, 3, 1).is_contiguous()
    assert first.train.size == plain.train.size
    count = torch.arange(len(plain.train))
    assert data_statistics(second.train, count) == data_statistics(plain.train, count)
    assert second.train.sums_NC2 is not None and len(second.train.sums_NC2) == len(plain.train)
    assert [p.name[0] for p in packs.iterdir()] != ["."]
    assert len(list(packs.iterdir())) == 1


def test_the_same_content_elsewhere_is_the_same_pack(
    npz: RunDataset, packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_dataset(npz, packs=packs)
    shutil.copy(npz.path, tmp_path / "other.npz")
    refuse_decoding(monkeypatch)
    load_dataset(npz.model_copy(update={"path": str(tmp_path / "other.npz")}), packs=packs)


def test_other_content_or_another_size_is_another_pack(npz: RunDataset, tmp_path: Path) -> None:
    keys = {
        pack_key(npz, fit) for fit in (Fit(), Fit((8, 8)), Fit((8, 8), 9), Fit(None, None, (9, 9)))
    }
    np.savez(npz.path, x_train=255 - IMAGES, y_train=np.arange(6) % 3)
    assert len(keys | {pack_key(npz, Fit())}) == 5


def test_a_given_hash_is_trusted_and_names_the_pack(npz: RunDataset) -> None:
    known = npz.model_copy(update={"sha256": "ab" * 32})
    assert pack_key(known, Fit()).startswith("abababababababab-")
    assert pack_key(known, Fit()) != pack_key(npz, Fit())


def test_a_changed_folder_is_packed_again(pictures: RunDataset, packs: Path) -> None:
    before = load_dataset(pictures, packs=packs)
    Image.fromarray(IMAGES[5]).save(Path(pictures.path) / "train" / "a" / "9.png")
    assert len(load_dataset(pictures, packs=packs).train) == len(before.train) + 1


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a pixel": lambda pack: flip_a_byte(pack / "test.pixels"),
    "a label": lambda pack: flip_a_byte(pack / "train.labels"),
    "a sum": lambda pack: flip_a_byte(pack / "train.sums"),
    "cut short": lambda pack: os.truncate(pack / "train.pixels", 100),
    "no manifest": lambda pack: (pack / "manifest.json").unlink(),
    "half a manifest": lambda pack: os.truncate(pack / "manifest.json", 40),
    "no pixels": lambda pack: (pack / "train.pixels").unlink(),
    "another's": lambda pack: (pack / "manifest.json").write_text(
        (pack / "manifest.json").read_text().replace('"key": "', '"key": "x')
    ),
    "a label out of range": lambda pack: (pack / "manifest.json").write_text(
        (pack / "manifest.json").read_text().replace('"num_classes": 3', '"num_classes": 2')
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_pack_is_noticed_and_packed_again(
    npz: RunDataset, packs: Path, damage: Callable[[Path], object]
) -> None:
    plain, lines = load_dataset(npz), list[str]()
    load_dataset(npz, packs=packs)
    (entry,) = packs.iterdir()
    damage(entry)
    assert same(load_dataset(npz, packs=packs, log=lines.append), plain)
    assert len(lines) == 1 and "will be packed again" in lines[0]
    assert same(packfile.open_pack(entry, entry.name), plain)
    assert len(list(packs.iterdir())) == 1


def test_of_large_packs_blocks_spread_from_first_to_last_are_checked(
    npz: RunDataset, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packfile, "BLOCK_BYTES", 10)  # 130 blocks of the training pixels
    load_dataset(npz, packs=packs)
    (entry,) = packs.iterdir()
    checked, crc32 = list[int](), zlib.crc32

    def counted(block: memoryview) -> int:
        checked.append(len(block))
        return crc32(block)

    monkeypatch.setattr(zlib, "crc32", counted)
    packfile.open_pack(entry, entry.name)
    assert len(checked) == 2 * packfile.CHECKED_BLOCKS
    for at in (0, -1):
        content = bytearray((entry / "train.pixels").read_bytes())
        content[at] ^= 1
        (entry / "train.pixels").write_bytes(content)
        with pytest.raises(packfile.DamagedPack, match="pixels"):
            packfile.open_pack(entry, entry.name)
        content[at] ^= 1
        (entry / "train.pixels").write_bytes(content)


def test_packing_that_fails_leaves_nothing(
    npz: RunDataset, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    monkeypatch.setattr(pack, "finish_pack", interrupt)
    with pytest.raises(Interrupted):
        load_dataset(npz, packs=packs)
    assert list(packs.iterdir()) == []


def test_what_a_killed_run_left_is_removed_a_day_later_and_the_unused_in_a_month(
    npz: RunDataset, packs: Path
) -> None:
    load_dataset(npz, packs=packs)
    (used,) = packs.iterdir()
    old, young = packs / ".writing-old", packs / ".writing-young"
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (time.time() - 90_000,) * 2)
    load_dataset(npz, (12, 12), packs=packs)
    assert not old.exists() and young.exists() and used.exists()
    os.utime(used / "manifest.json", (time.time() - 31 * 86_400,) * 2)
    load_dataset(npz, (13, 13), packs=packs)
    assert not used.exists()


def test_space_is_freed_by_removing_the_least_recently_used(
    npz: RunDataset, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [(8, 9), (10, 10), (12, 12)]
    kept = [load_dataset(npz, size, packs=packs) for size in sizes]
    names = [pack_key(npz, Fit(size)) for size in sizes]
    for age_s, name in zip((50, 100, 10), names, strict=True):
        os.utime(packs / name / "manifest.json", (time.time() - age_s,) * 2)

    def usage(folder: Path) -> "shutil._ntuple_diskusage":
        present = sum((folder / name).exists() for name in names)
        return shutil._ntuple_diskusage(10**9, 0, 70 * 2**20 if present < 2 else 100)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    load_dataset(npz, (14, 14), packs=packs)
    assert [(packs / name).exists() for name in names] == [False, False, True]
    assert int(kept[0].train.images_NCHW.sum()) > 0  # still mapped


def test_a_disk_that_is_too_full_is_an_error(
    npz: RunDataset, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil._ntuple_diskusage(10**9, 10**9, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(RunError, match="MiB are free") as caught:
        load_dataset(npz, packs=packs)
    assert (caught.value.code, caught.value.exit) == ("no_space", Exit.NO_SPACE)
    assert list(packs.iterdir()) == []


def test_pixels_beyond_the_limit_are_refused_before_any_file_is_made(
    dataset: RunDataset, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack.DiskSink, "limit", 1000)
    with pytest.raises(RunError) as caught:
        load_dataset(dataset, packs=packs)
    assert caught.value.code == "dataset_too_large"
    assert list(packs.iterdir()) == []


def test_a_folder_too_large_for_memory_can_be_packed(
    pictures: RunDataset, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdcore.data.sink.MemorySink.limit", 1000)
    with pytest.raises(RunError, match="more than"):
        load_dataset(pictures)
    assert len(load_dataset(pictures, packs=packs).train) == 6
    assert len(source.scan_dataset(pictures).train) == 6


def test_long_packing_logs_its_progress(
    pictures: RunDataset, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdcore.data.sink.LOG_EVERY_S", 0.0)
    lines: list[str] = []
    load_dataset(pictures, packs=packs, log=lines.append)
    for split in ("train", "test"):
        expected = [f"packing the dataset: {n} of 6 images of {split}" for n in range(1, 7)]
        assert [line for line in lines if line.endswith(split)] == expected


def test_two_runs_that_pack_simultaneously_agree(
    npz: RunDataset, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = packfile.finish_pack

    def slowly(folder: Path, data: ImageData, key: str) -> None:
        monkeypatch.setattr(pack, "finish_pack", finish)
        load_dataset(npz, packs=packs)  # the other run, faster
        finish(folder, data, key)

    plain = load_dataset(npz)
    monkeypatch.setattr(pack, "finish_pack", slowly)
    assert same(load_dataset(npz, packs=packs), plain)
    assert len(list(packs.iterdir())) == 1
