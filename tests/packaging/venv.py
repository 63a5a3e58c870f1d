"""Makes environments with only the wheel and the requirements of its extras, without a network.

The wheel is installed as a user would install it. Its requirements, direct and indirect, are linked
from this environment, where set-up installed them; those missing from an extra are not there.
Links take milliseconds, while a copy of PyTorch takes a minute.
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
        """A user's environment variables, without our settings and the path of the checkout."""
        usual = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return usual | more

    def run(self, *args: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the empty folder until it exits, with any exit code."""
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
    """The names of all direct and indirect requirements of the wheel with these extras."""
    ours = wheel.metadata["Name"]
    waiting = [(ours, extra) for extra in ("", *extras)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        if name != ours and not extra:
            yield name
        # Our requirements are read from the wheel; the installed checkout may be older.
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
