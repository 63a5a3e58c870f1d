"""Runs a page's blocks in order, in one folder, as if a reader pasted them.

Python blocks share one interpreter, as a notebook's cells do; sh blocks run in bash, each in its
own process; diff blocks are applied. A block with a title becomes a file.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.docs.blocks import Block

WRITTEN = "http://127.0.0.1:8765"  # the service's URL on the pages
DONE = "--- the block has run ---"
CELLS = f"""
import json, sys, traceback
names = {{"__name__": "__main__"}}
for line in sys.stdin:
    code, place = json.loads(line)
    try:
        exec(compile(code, place, "exec"), names)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
    print({DONE!r}, flush=True)
"""


class Interpreter:
    """A Python process that executes one block after another; a context manager."""

    def __init__(self, folder: Path, environment: Mapping[str, str]):
        self._process = subprocess.Popen(
            [sys.executable, "-c", CELLS],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)

    def run(self, code: str, place: str) -> str:
        """Execute the code; returns its output. Raises AssertionError with it if the code fails."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([code, place]) + "\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.strip() == DONE:
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"{place} failed:\n{''.join(lines)}")


def play(
    name: str, blocks: Iterable[Block], folder: Path, environment: Mapping[str, str], url: str
) -> None:
    """Run the blocks of the page `name`. Raises AssertionError with the output if one fails."""
    with Interpreter(folder, environment) as interpreter:
        for block in blocks:
            place = f"{name}:{block.line}"
            code = block.code.replace(WRITTEN, url)
            if block.title is not None:
                target = folder / block.title
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(code, encoding="utf-8")
            elif block.is_run and block.language == "python":
                interpreter.run(code, place)
            elif block.is_run:
                _shell(block, code, place, folder, environment)


def _shell(
    block: Block, code: str, place: str, folder: Path, environment: Mapping[str, str]
) -> None:
    shell = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(
        ["git", "apply", "--recount", "-"] if block.language == "diff" else shell,
        cwd=folder,
        env=environment,
        input=code if block.language == "diff" else "",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    message = f"{place} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    assert (done.returncode != 0) is bool(block.fails), message
    assert (block.fails or "") in done.stdout, message
