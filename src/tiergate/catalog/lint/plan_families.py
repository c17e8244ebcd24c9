"""Find families of plans, and their order by price, from the words in their ids or their order in the file.

Plans are a family if their ids differ only in words of one scale and in numbers (`crm-basic`, `crm-pro`; except years),
or only in their last word (`crm-ant`, `crm-bee`). The first kind is ranked by these words, the second by the order in
the file, unless that is alphabetical, which has no meaning.

The scales contain only unambiguous words. Real pricings have a `team` above and below `pro`, a `growth` above and below
`essential`, so these are not in a scale.
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
    """Plans in groups of the same rank, from the cheapest to the most expensive."""

    groups: tuple[tuple[str, ...], ...]
    is_by_order: bool
    """Whether the ranks come from the order in the file only."""


def find_families(catalog: Catalog, place: Callable[[str], Position]) -> Iterator[Family]:
    """Yield every family of two or more plans; `place` returns the position of a plan."""
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
    """Return the words that a family shares, with the scale, and the rank by that scale's words and the numbers."""
    numbers = [int(word) for word in words if word.isdigit() and not _YEAR.fullmatch(word)]
    result = [_RANKS[word] for word in words if word in _RANKS]
    if not numbers and not result:
        return (), None
    scale = result[-1][0] if result else ""
    rank = max((rank for its_scale, rank in result if its_scale == scale), default=0)
    is_plus = bool(result) and _PLUS in words
    stem = [
        word
        for word in words
        if word not in _RANKS and not (is_plus and word == _PLUS) and (not word.isdigit() or _YEAR.fullmatch(word))
    ]
    is_more = is_plus or len(result) > 1  # `enterprise-plus`, `enterprise-advanced`
    return (scale, *stem), (rank, int(is_more), numbers[-1] if numbers else 0)
