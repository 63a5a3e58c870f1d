"""Reads files from a zip archive, trusting nothing in it, or from a directory.

Nothing is extracted to disk, so a hostile path could do no harm. An archive with one is refused
anyway, as is anything else that an archive of images has no reason to contain.
"""

import stat
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Protocol

from kdcore.data.images import bad_dataset
from kdcore.runtime.errors import RunError
from kdcore.spec.codes import RunCode

MAX_MEMBERS = 2_000_000
MAX_TOTAL_BYTES = 256 * 2**30
MAX_RATIO = 200  # inflated bytes per byte of the archive, above RATIO_FREE_BYTES
RATIO_FREE_BYTES = 256 * 2**20
MAX_DEPTH = 16
MAX_NAME = 1024
ENCRYPTED = 0x1


class Files(Protocol):
    """Files by name; names are relative, with forward slashes, sorted."""

    names: list[str]

    def read(self, name: str) -> bytes:
        """Read a file. Raises RunError `bad_archive` if that fails."""


class Directory:
    """The files in a directory tree; links to directories are not followed."""

    def __init__(self, root: Path):
        self._root = root
        found = (p for p in root.rglob("*") if p.is_file())
        self.names = sorted(p.relative_to(root).as_posix() for p in found)

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()


class Archive:
    """The files in a zip archive, all checked when it is opened. Threads may share it.

    Raises RunError `bad_archive` (not a zip archive, truncated, damaged, unknown compression) and
    `unsafe_archive` (links, devices, absolute paths, `..`, duplicate names, encryption, zip bombs).
    """

    def __init__(self, path: Path):
        self._lock = threading.Lock()
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as error:
            raise bad_dataset(
                f"this is not a complete zip archive: {error}", RunCode.BAD_ARCHIVE
            ) from error
        members = self._zip.infolist()
        _check_amount(members, path.stat().st_size)
        for member in members:
            _check_member(member)
        self._members = {m.filename: m for m in members if not m.is_dir()}
        _check_names(members)
        self.names = sorted(self._members)

    def read(self, name: str) -> bytes:
        member = self._members[name]
        try:
            with self._lock, self._zip.open(member) as stream:
                return stream.read(member.file_size + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
            raise bad_dataset(
                f"{name!r} in the archive is damaged: {error}", RunCode.BAD_ARCHIVE
            ) from error


def open_files(path: Path) -> Files:
    """Open a directory, or a file as a zip archive."""
    if path.is_dir():
        return Directory(path)
    if not path.is_file():
        raise bad_dataset(f"there is no file or directory {path.name!r}", RunCode.NO_FILE)
    return Archive(path)


def _unsafe(message: str) -> RunError:
    return bad_dataset(message, RunCode.UNSAFE_ARCHIVE)


def _check_amount(members: list[zipfile.ZipInfo], archive_bytes: int) -> None:
    if len(members) > MAX_MEMBERS:
        raise _unsafe(f"the archive has {len(members)} members; the limit is {MAX_MEMBERS}")
    total = sum(m.file_size for m in members)
    if total > MAX_TOTAL_BYTES:
        raise _unsafe(f"the archive inflates to {total} bytes; the limit is {MAX_TOTAL_BYTES}")
    if total > RATIO_FREE_BYTES and total > MAX_RATIO * archive_bytes:
        raise _unsafe(
            f"the archive inflates to {total // max(1, archive_bytes)} times its size, like a zip "
            f"bomb; the limit is {MAX_RATIO} times"
        )


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.filename
    # `filename` is cut at a NUL and has its separators replaced; `orig_filename` does not.
    shown = repr(member.orig_filename[:200])
    if "\x00" in member.orig_filename or "\\" in member.orig_filename:
        raise _unsafe(f"the path of the archive's member {shown} has a NUL or a backslash")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        raise _unsafe(f"the path of the archive's member {shown} leads outside of the archive")
    if not parts or len(parts) > MAX_DEPTH or len(name) > MAX_NAME:
        raise _unsafe(f"the path of the archive's member {shown} is empty, too deep or too long")
    if member.flag_bits & ENCRYPTED:
        raise _unsafe(
            f"the archive's member {shown} is encrypted; make an archive without a password"
        )
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _unsafe(f"the archive's member {shown} is a link or a device, not a file")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise bad_dataset(
            f"the archive's member {shown} has an unknown compression; use stored or deflated",
            RunCode.BAD_ARCHIVE,
        )


def _check_names(members: list[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for member in members:
        folded = str(PurePosixPath(member.filename)).casefold()
        if folded in seen:
            raise _unsafe(f"the archive has {member.filename[:200]!r} twice (ignoring case)")
        seen.add(folded)
