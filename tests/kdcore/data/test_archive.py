"""A zip is read member by member, and refused as a whole if any of it is hostile or damaged."""

import stat
import zipfile
from pathlib import Path

import pytest

from kdcore.data import archive
from kdcore.data.archive import Archive, open_files
from kdcore.runtime.errors import RunError
from kdcore.spec.codes import Exit


def make_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for member, content in members:
            target.writestr(member, content)
    return path


def with_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def refusal(path: Path) -> RunError:
    with pytest.raises(RunError) as caught:
        open_files(path)
    assert caught.value.exit == Exit.BAD_INPUT
    return caught.value


def test_a_zip_and_a_directory_read_alike(tmp_path: Path) -> None:
    (tmp_path / "d" / "b").mkdir(parents=True)
    (tmp_path / "d" / "b" / "1.png").write_bytes(b"one")
    (tmp_path / "d" / "a.txt").write_bytes(b"")
    made = make_zip(tmp_path / "z", ("b/", b""), ("b/1.png", b"one"), ("a.txt", b""))
    for path in (tmp_path / "d", made):
        files = open_files(path)
        assert files.names == ["a.txt", "b/1.png"]
        assert files.read("b/1.png") == b"one"


@pytest.mark.parametrize(
    "name", ["../up.png", "a/../../up.png", "/etc/passwd", "C:/x.png", "a\\b.png", "a/" * 17 + "b"]
)
def test_a_path_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    error = refusal(make_zip(tmp_path / "z", ("fine.png", b""), (name, b"x")))
    assert error.code == "unsafe_archive"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    error = refusal(make_zip(tmp_path / "z", (with_mode("a.png", kind | 0o777), b"/etc/passwd")))
    assert error.code == "unsafe_archive"
    assert "link or a device" in error.message


def test_an_ordinary_mode_is_fine(tmp_path: Path) -> None:
    made = make_zip(tmp_path / "z", (with_mode("a.png", stat.S_IFREG | 0o644), b"x"))
    assert open_files(made).names == ["a.png"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["a.png", "A.PNG"])
def test_duplicate_names_are_refused(tmp_path: Path, other: str) -> None:
    assert (
        refusal(make_zip(tmp_path / "z", ("a.png", b"1"), (other, b"2"))).code == "unsafe_archive"
    )


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    content = bytearray(make_zip(tmp_path / "z", ("a.png", b"x")).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "z").write_bytes(content)
    assert "encrypted" in refusal(tmp_path / "z").message


def test_an_unusual_compression_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_LZMA) as target:
        target.writestr("a.png", b"x" * 99)
    assert refusal(tmp_path / "z").code == "bad_archive"


def test_a_bomb_is_refused_before_it_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "RATIO_FREE_BYTES", 10_000)
    bomb = make_zip(tmp_path / "z", ("a.png", bytes(10_000_000)))
    assert "bomb" in refusal(bomb).message
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 1000)
    assert "inflates to 10000000 bytes" in refusal(bomb).message
    monkeypatch.setattr(archive, "MAX_MEMBERS", 0)
    assert "1 members" in refusal(bomb).message


def test_a_member_longer_than_its_header_says_is_not_inflated_further(tmp_path: Path) -> None:
    made = make_zip(tmp_path / "z", ("a.png", bytes(100_000)))
    content = bytearray(made.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (10).to_bytes(4, "little")
    made.write_bytes(content)
    with pytest.raises(RunError) as caught:
        Archive(made).read("a.png")
    assert caught.value.code == "bad_archive"


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    made = tmp_path / "z"
    with zipfile.ZipFile(made, "w") as target:
        target.writestr("a.png", b"0123456789")
    made.write_bytes(made.read_bytes().replace(b"0123456789", b"0123456780"))
    with pytest.raises(RunError, match=r"a\.png"):
        Archive(made).read("a.png")


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_truncated_zip_is_refused(tmp_path: Path, part: float) -> None:
    content = make_zip(tmp_path / "z", ("a.png", b"x" * 1000), ("b.png", b"y")).read_bytes()
    (tmp_path / "z").write_bytes(content[: int(len(content) * part)])
    assert refusal(tmp_path / "z").code == "bad_archive"


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing").code == "no_file"
