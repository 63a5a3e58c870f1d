"""The site builds without warnings and loads nothing from other hosts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

pytestmark = pytest.mark.processes
LOADED = re.compile(
    r'<(?:script|img|iframe|source)[^>]*\ssrc="(https?:)?//|<link[^>]*\shref="(https?:)?//'
)
EXTERNAL = re.compile(r"(?:@import|url\()\s*['\"]?(?:https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; with `--strict`, broken links or anchors and unlisted pages are errors."""
    target = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", target],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},  # Material's note about its successor
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    return target


def test_pages_are_there(site: Path) -> None:
    for name in ("quickstart", "methods", "cli", "rest", "recipes", "changelog"):
        assert (site / name / "index.html").exists(), name
    decisions = list((ROOT / "docs" / "adr").glob("*.md"))
    assert all((site / "adr" / page.stem / "index.html").exists() for page in decisions)
    assert "kd_loss" in (site / "search" / "search_index.json").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_other_hosts(site: Path) -> None:
    loaded = [p for p in site.rglob("*.html") if LOADED.search(p.read_text(encoding="utf-8"))]
    loaded += [p for p in site.rglob("*.css") if EXTERNAL.search(p.read_text(encoding="utf-8"))]
    assert loaded == []
