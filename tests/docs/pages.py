"""The Markdown pages of this repository: where they are, what they link to, and the code that they show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>[\w.+-]*)[^\n]*\n(?P<body>.*?)^(?P=indent)(?P=fence)",
    re.MULTILINE | re.DOTALL,
)
_SPAN = re.compile(r"(`+)(?P<body>.+?)\1")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)


class Example(NamedTuple):
    """A fenced block: its language, its text, and the line on which its text begins, from 1."""

    language: str
    text: str
    line: int


def name(page: Path) -> str:
    """The page's path from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def examples(page: Path) -> list[Example]:
    """Every fenced block of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Example(match["language"], match["body"], text.count("\n", 0, match.start("body")) + 1)
        for match in _FENCE.finditer(text)
    ]


def spans(page: Path) -> list[str]:
    """What stands in backticks within a page's prose."""
    return [match["body"] for match in _SPAN.finditer(_FENCE.sub("", page.read_text(encoding="utf-8")))]


def links(page: Path) -> list[str]:
    """The targets of a page's links, but those to other sites."""
    prose = _SPAN.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
    targets = [match["target"] for match in _LINK.finditer(prose)]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for match in _HEADING.finditer(prose):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match["text"])
        slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        count = 0
        while (anchor := f"{slug}-{count}" if count else slug) in found:
            count += 1
        found.add(anchor)
    return found
