"""What the contract tests look at: our Python files and their syntax trees."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "bench", "distillery", "kdcore", "migrations", "scripts", "tests", "worker")


def python_files(*packages: str) -> list[Path]:
    """Every Python file of the given packages (all of ours by default), sorted."""
    return sorted(path for name in packages or PACKAGES for path in (ROOT / name).rglob("*.py"))


def parse(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> set[str]:
    """Top-level names of every module the file imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def name(path: Path) -> str:
    """The path as a person writes it."""
    return path.relative_to(ROOT).as_posix()
