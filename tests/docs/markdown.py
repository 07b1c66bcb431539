"""What the documentation holds besides prose: fenced blocks, the notes that belong to them, code spans, links.

A note is an HTML comment on the line above a block. Readers do not see it; it says what the tests do with the block:

``<!-- file: orders.py -->``            it is a module that the page's tests import, or another file beside them
``<!-- include: examples/ci/a.yml -->``  it is this file of the repository
``<!-- output: command -->``            it is what the command prints, beside the files of the page
``<!-- ini -->``                        its lines are in the configuration of the run that executes the page
``<!-- not executed: reason -->``       it is not executed, and why
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.native_stack import CHECKOUT

__all__ = ["GUIDES", "Block", "Page", "guides", "pages"]

GUIDES = CHECKOUT / "docs" / "migrating"
_FENCE = re.compile(r"^( *)(`{3,})(\w*)\s*$")
_NOTE = re.compile(r"^<!--\s*(file|include|output|ini|not executed)\s*(?::\s*(.*?))?\s*-->$")
_TEST = re.compile(r"^(async )?def test_|^class Test", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block. ``line`` is that of its first fence; ``kind`` and ``value`` are those of its note."""

    page: Path
    line: int
    language: str
    text: str
    kind: str = ""
    value: str = ""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(CHECKOUT)}:{self.line}"

    @property
    def is_test(self) -> bool:
        """Whether pytest would collect something in it."""
        return self.language == "python" and bool(
            re.search(r"^(async )?def test_|^class Test", self.text, re.MULTILINE)
        )


@dataclass(frozen=True)
class Page:
    """One document."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def name(self) -> str:
        """A name that a module can have, and that no other page has."""
        parts = self.path.relative_to(CHECKOUT).with_suffix("").parts
        return "_".join(parts).replace("-", "_").lower()

    def blocks(self, *languages: str) -> list[Block]:
        """The fenced blocks, those of ``languages`` if any are named."""
        return [block for block in self._blocks() if not languages or block.language in languages]

    def _blocks(self) -> Iterator[Block]:
        fence, indent, language, start, kind, value = "", 0, "", 0, "", ""
        held: list[str] = []
        for number, line in enumerate(self.text.splitlines(), 1):
            found = _FENCE.match(line)
            if fence and line.strip() == fence:
                yield Block(self.path, start, language, "\n".join(held) + "\n", kind, value)
                fence, kind, value = "", "", ""
            elif fence:
                held.append(line[indent:] if line[:indent].isspace() else line)
            elif found:
                fence, language, start, held, indent = found[2], found[3], number, [], len(found[1])
            elif note := _NOTE.match(line.strip()):
                kind, value = note[1], note[2] or ""
            elif line.strip():
                kind, value = "", ""
        assert not fence, f"{self.path}:{start}: the block does not end"

    def prose(self) -> str:
        """The text without its fenced blocks."""
        kept, fence = [], ""
        for line in self.text.splitlines():
            found = _FENCE.match(line)
            if fence or found:
                fence = "" if fence and line.strip() == fence else fence or (found[2] if found else "")
                continue
            kept.append(line)
        return "\n".join(kept)

    def spans(self) -> list[str]:
        """Code within the prose."""
        return _SPAN.findall(self.prose())

    def links(self) -> list[str]:
        return _LINK.findall(self.prose())


def guides() -> list[Page]:
    """The pages about migrating."""
    return [Page(path) for path in sorted(GUIDES.glob("*.md"))]


def pages() -> list[Page]:
    """Everything that is written for users."""
    return [Page(CHECKOUT / "README.md"), *(Page(path) for path in sorted(CHECKOUT.glob("docs/**/*.md")))]
