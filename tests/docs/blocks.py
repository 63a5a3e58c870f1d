"""Reads the fenced code blocks of a page, and the mark before each that controls running it.

A block with a title is a file, written to the path in the title. Any other block may be preceded by
`<!-- not run: REASON -->`, or by `<!-- fails: TEXT -->` if it must fail and print TEXT.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RUN = frozenset({"python", "sh", "diff"})
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?$")
MARK = re.compile(r"^<!-- (?P<kind>not run|fails): (?P<text>.+) -->$")


@dataclass(frozen=True)
class Block:
    """A block; `line`: the number of its first line of code, from 1."""

    language: str
    code: str
    line: int
    title: str | None
    not_run: str | None
    fails: str | None

    @property
    def is_run(self) -> bool:
        """Whether the suite runs the block; one with a title is written instead."""
        return self.language in RUN and self.title is None and self.not_run is None


def blocks_of(page: Path) -> list[Block]:
    """The page's blocks, in order. Raises ValueError for a malformed fence."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        if opening is None:
            if lines[number].lstrip().startswith("```"):
                raise ValueError(f"{page.name}:{number + 1}: this fence is not understood")
            number += 1
            continue
        end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == "```")
        indent = len(opening["indent"])
        code = "\n".join(line[indent:] for line in lines[number + 1 : end])
        mark = MARK.match(lines[number - 1]) if number else None
        marks = {mark["kind"]: mark["text"]} if mark else {}
        found.append(
            Block(
                opening["language"],
                code + "\n",
                number + 2,
                opening["title"],
                marks.get("not run"),
                marks.get("fails"),
            )
        )
        number = end + 1
    return found
