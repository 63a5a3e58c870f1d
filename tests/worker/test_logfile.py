"""A run's log keeps its beginning and end, whatever the run writes or puts in its place."""

import os
from pathlib import Path

from distillery.worker.logfile import LogFile, log_tail

KEEP = 1 << 16


def test_a_long_log_keeps_its_head_and_its_tail(tmp_path: Path) -> None:
    path, log = tmp_path / "run.log", LogFile(tmp_path, KEEP)
    written = 0
    with path.open("ab") as file:  # open for appending, as in the run
        for number in range(50):
            written += file.write(f"line {number} ".encode() + b"." * 8000 + b"\n")
            file.flush()
            log.shorten()
            assert path.stat().st_size <= KEEP
    text = path.read_text()
    assert text.startswith("line 0 ") and "line 49 " in text
    assert text.count("bytes were left out here") == 1
    assert written <= log.written_bytes < written + 50 * 50
    assert log_tail(tmp_path).splitlines()[-1].startswith("line 49")


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("short\n")
    log = LogFile(tmp_path, KEEP)
    log.shorten()
    assert (log.written_bytes, (tmp_path / "run.log").read_text()) == (6, "short\n")
    assert log_tail(tmp_path) == "short"


def test_links_and_special_files_are_neither_read_nor_shortened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret" * KEEP)
    before = secret.stat().st_size
    (tmp_path / "run").mkdir()
    for place in (lambda p: p.symlink_to(secret), os.mkfifo, os.mkdir):
        path = tmp_path / "run" / "run.log"
        place(path)
        LogFile(path.parent, KEEP).shorten()
        assert log_tail(path.parent) == ""
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert secret.stat().st_size == before


def test_a_missing_log_is_empty(tmp_path: Path) -> None:
    LogFile(tmp_path, KEEP).shorten()
    assert log_tail(tmp_path) == ""
