"""The dashboard's types and constants are those of today's contract."""

import hashlib
import json
from pathlib import Path

from distillery.api.main import create_app
from scripts import web_constants

HOW = "run: npm --prefix web run types"
SCHEMA = Path(__file__).resolve().parents[2] / "web" / "src" / "api" / "schema.d.ts"


def test_the_generated_types_are_fresh() -> None:
    """Their first line names the document's hash, so that this needs no Node."""
    document = json.dumps(create_app().openapi(), indent=2)
    sha256 = hashlib.sha256(document.encode()).hexdigest()
    first_line = SCHEMA.read_text(encoding="utf-8").partition("\n")[0]
    assert first_line == f"// openapi sha256 {sha256}", HOW


def test_the_generated_constants_are_fresh() -> None:
    assert web_constants.PAGE.read_text(encoding="utf-8") == web_constants.build(), HOW
