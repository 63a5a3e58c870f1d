"""A run's log keeps its beginning and its end, whatever the run writes or puts in its place."""

import os
from pathlib import Path

from distillery.worker.logfile import LogFile, log_tail

KEEP = 1 << 16


def test_a_long_log_keeps_its_head_and_its_tail(tmp_path: Path) -> None:
    path, log = tmp_path / "run.log", LogFile(tmp_path, KEEP)
    written = 0
    with path.open("ab") as file:  # as the run has it open all the time
        for number in range(50):
            written += file.write(f"line {number} ".encode() + b"." * 8000 + b"\n")
            file.flush()
            log.bound()
            assert path.stat().st_size <= KEEP
    text = path.read_text()
    assert text.startswith("line 0 ") and "line 49 " in text
    assert text.count("bytes were left out here") == 1
    assert written <= log.bytes_said < written + 50 * 50
    assert log_tail(tmp_path).splitlines()[-1].startswith("line 49")


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("short\n")
    log = LogFile(tmp_path, KEEP)
    log.bound()
    assert (log.bytes_said, (tmp_path / "run.log").read_text()) == (6, "short\n")
    assert log_tail(tmp_path) == "short"


def test_what_is_no_log_is_neither_read_nor_cut(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret" * KEEP)
    before = secret.stat().st_size
    (tmp_path / "run").mkdir()
    for place in (lambda p: p.symlink_to(secret), os.mkfifo, os.mkdir):
        path = tmp_path / "run" / "run.log"
        place(path)
        LogFile(path.parent, KEEP).bound()
        assert log_tail(path.parent) == ""
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert secret.stat().st_size == before


def test_no_log_no_words(tmp_path: Path) -> None:
    LogFile(tmp_path, KEEP).bound()
    assert log_tail(tmp_path) == ""
