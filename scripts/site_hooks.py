"""MkDocs hooks: add pages from outside docs/, rewrite links, and list the decisions.

Links are written for the repository, so that they work on GitHub too. On the site, pages from
outside docs/ have other addresses, so the links to and from them are rewritten.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "CHANGELOG.md": "changelog.md",
    "recipes/README.md": "recipes.md",
    "web/public/mark.svg": "images/mark.svg",
}
RESULTS = "bench/results"
DECISIONS = "adr/"
LINK = re.compile(r"(?<=\]\()(?P<path>[^()#\s:]+)(?P<anchor>#[^()\s]*)?(?=\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace the decisions' folder in the navigation by its pages."""
    config.nav = _expanded(config.nav)
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the changelog, the recipes, an image and the results of measurements."""
    for source, uri in _outside().items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links within the repository into links within the site."""
    outside = _outside()
    sources = {uri: source for source, uri in outside.items()}
    uri = page.file.src_uri
    source = sources.get(uri, f"docs/{uri}")

    def rewritten(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found["path"]))
        address = outside.get(target)
        if target.startswith("docs/"):
            address = target.removeprefix("docs/")
        if address is None:  # not part of the site: the strict build reports it
            return found[0]
        return posixpath.relpath(address, posixpath.dirname(uri) or ".") + (found["anchor"] or "")

    return LINK.sub(rewritten, markdown)


def _outside() -> dict[str, str]:
    results = (p.relative_to(ROOT).as_posix() for p in sorted((ROOT / RESULTS).glob("*.*")))
    return {**OUTSIDE, **{name: name for name in results}}


def _expanded(nav: Any) -> Any:
    if isinstance(nav, list):
        return [_expanded(entry) for entry in nav]
    if isinstance(nav, dict):
        return {title: _expanded(entry) for title, entry in nav.items()}
    if nav == DECISIONS:
        return [f"adr/{path.name}" for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    return nav
