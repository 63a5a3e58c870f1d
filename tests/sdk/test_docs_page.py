"""The code of docs/sdk.md runs from top to bottom against a real service."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).parents[2] / "docs" / "sdk.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) > 10
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with Service(tmp_path / "home") as service:
        monkeypatch.setenv("KD_URL", service.client.url)
        for block in blocks:
            line = text.count("\n", 0, block.start(1))  # so that a traceback names the page's line
            code = compile("\n" * line + block[1], str(PAGE), "exec")
            exec(code, names)
        names["client"].close()
    assert names["job"].result.student.last.accuracy > 0.5
    assert (tmp_path / "student" / "student.onnx").exists()
