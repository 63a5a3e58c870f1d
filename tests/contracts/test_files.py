"""A file says what it is in its first sentence, and only config files read the environment."""

import ast

from tests.contracts.trees import name, parse, python_files

# Whether torchrun started the process: all else that it sets is read by torch.distributed.
TOLD_BY_TORCHRUN = "kdcore/runtime/distributed.py"
SERVICE = ("api", "distillery", "kdcore", "worker")


def test_every_file_opens_with_a_sentence() -> None:
    silent = [
        name(path)
        for path in python_files()
        if path.stat().st_size > 0 and not ast.get_docstring(parse(path))
    ]
    assert silent == []


def test_the_environment_is_read_in_config_files_alone() -> None:
    readers = [
        name(path)
        for path in python_files(*SERVICE)
        if path.name != "config.py" and name(path) != TOLD_BY_TORCHRUN
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr in {"environ", "getenv", "environb"}
    ]
    assert readers == []


def test_kdcore_reads_no_environment() -> None:
    assert [name(path) for path in python_files("kdcore") if path.name == "config.py"] == []
    (only,) = (path for path in python_files("kdcore") if name(path) == TOLD_BY_TORCHRUN)
    assert only.read_text().count("os.environ") == 1


def test_broad_except_says_why() -> None:
    """Every `except Exception` carries its reason on the line."""
    bare = [
        f"{name(path)}:{number}"
        for path in python_files(*SERVICE)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "except Exception" in line and "#" not in line
    ]
    assert bare == []
