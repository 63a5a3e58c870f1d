"""An environment with the wheel, what its extras require, and nothing else; made without network.

The wheel is installed as a user does. The packages that it requires, and those that they require,
are linked from this environment, where set-up installed them: a requirement that an extra forgot is
not there. Links to whole packages take milliseconds where copies of PyTorch take a minute.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


class Environment:
    """A virtual environment, and a folder outside any checkout to run programs in."""

    def __init__(self, folder: Path, wheel: Path, *extras: str):
        self.folder = folder / "venv"
        self.home = folder / "empty"
        self.home.mkdir(parents=True)
        self.python = self.folder / "bin" / "python"
        self.kd = self.folder / "bin" / "kd"
        _run([sys.executable, "-m", "venv", "--without-pip", str(self.folder)])
        options = ["--no-deps", "--no-index", "--no-cache-dir", "--disable-pip-version-check"]
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]
        _run([*pip, *options, str(wheel)])
        (site,) = self.folder.glob("lib/python*/site-packages")
        _link(site, extras)

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of a user's shell: none of our settings, no path to the checkout."""
        usual = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return usual | more

    def run(self, *args: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the empty folder to its end, whatever its exit code."""
        return subprocess.run(
            [str(arg) for arg in args],
            cwd=self.home,
            env=self.variables(**more),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=240,
        )


def _link(site: Path, extras: tuple[str, ...]) -> None:
    (wheel,) = metadata.distributions(path=[str(site)])
    for name in _required(wheel, extras):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))))


def _required(wheel: metadata.Distribution, extras: tuple[str, ...]) -> Iterator[str]:
    """The names of all distributions that the wheel requires with the extras, however far down."""
    ours = wheel.metadata["Name"]
    waiting = [(ours, extra) for extra in ("", *extras)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        if name != ours and not extra:
            yield name
        # Ours is read from the wheel: the checkout's own installation may be older.
        lines = wheel.requires if name == ours else metadata.requires(name)
        for requirement in map(Requirement, lines or ()):
            if not _applies(requirement, extra):
                continue
            found = {(requirement.name, wanted) for wanted in ("", *requirement.extras)} - seen
            waiting.extend(found)
            seen |= found


def _applies(requirement: Requirement, extra: str) -> bool:
    if requirement.marker is None:
        return not extra
    return requirement.marker.evaluate({"extra": extra})


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
