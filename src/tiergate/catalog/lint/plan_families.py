"""Which plans are of one family, and which of two looks dearer: by the words in their ids, or by their order.

Plans are of one family if their ids differ only in words of one scale and in numbers (`crm-basic`, `crm-pro`; a year is
no such number), or only in their last word (`crm-ant`, `crm-bee`). The first kind is ranked by these words, the second
by the order in the file, unless that is the alphabet's, which says nothing.

The scales hold only words that mean the same everywhere. Real pricings contain a `team` above and below `pro`, a
`growth` above and below `essential`, so these are no words of a scale.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import ItemKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.catalog.reading.document import Position
    from tiergate.model import Catalog

_SCALES: Final = {
    "tier": (
        ("free", "trial"),
        ("mini", "lite", "light", "starter", "entry", "basic"),
        ("standard", "regular"),
        ("pro", "professional", "premium", "advanced"),
        ("enterprise", "ultimate"),
    ),
    "metal": (("bronze",), ("silver",), ("gold",), ("platinum",), ("diamond",)),
    "size": (("xs",), ("s", "small"), ("m", "medium"), ("l", "large"), ("xl",), ("xxl",)),
}
_RANKS: Final = {
    word: (scale, rank) for scale, ranks in _SCALES.items() for rank, words in enumerate(ranks) for word in words
}
_PLUS: Final = "plus"
_WORD = re.compile(r"[0-9]+|[a-z]+")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")

_Rank = tuple[int, int, int]


class Family(NamedTuple):
    """Plans in groups that look the same, from those that look cheapest to those that look dearest."""

    groups: tuple[tuple[str, ...], ...]
    is_by_order: bool
    """Whether only their order in the file says so."""


def families(catalog: Catalog, place: Callable[[str], Position]) -> Iterator[Family]:
    """Every family of two or more; `place` says where a plan stands in the files."""
    by_words: defaultdict[tuple[str, ...], defaultdict[_Rank, list[str]]] = defaultdict(lambda: defaultdict(list))
    by_stem: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for id_, item in catalog.items.items():
        if item.kind is not ItemKind.PLAN:
            continue
        words = _WORD.findall(id_.lower())
        stem, rank = _split(words)
        if rank is not None:
            by_words[stem][rank].append(id_)
        elif len(words) > 1 and not words[-1].isdigit():
            by_stem[tuple(words[:-1])].append(id_)
    for ranked in by_words.values():
        if len(ranked) > 1:
            yield Family(tuple(tuple(ranked[rank]) for rank in sorted(ranked)), is_by_order=False)
    if sorted(catalog.items, key=place) != sorted(catalog.items):
        for listed in by_stem.values():
            if len(listed) > 1:
                yield Family(tuple((id_,) for id_ in sorted(listed, key=place)), is_by_order=True)


def _split(words: list[str]) -> tuple[tuple[str, ...], _Rank | None]:
    """What the plans of a family share, the scale included, and the rank by the words of that scale and the numbers."""
    numbers = [int(word) for word in words if word.isdigit() and not _YEAR.fullmatch(word)]
    found = [_RANKS[word] for word in words if word in _RANKS]
    if not numbers and not found:
        return (), None
    scale = found[-1][0] if found else ""
    rank = max((rank for its_scale, rank in found if its_scale == scale), default=0)
    is_plus = bool(found) and _PLUS in words
    stem = [
        word
        for word in words
        if word not in _RANKS and not (is_plus and word == _PLUS) and (not word.isdigit() or _YEAR.fullmatch(word))
    ]
    is_more = is_plus or len(found) > 1  # `enterprise-plus`, `enterprise-advanced`
    return (scale, *stem), (rank, int(is_more), numbers[-1] if numbers else 0)
