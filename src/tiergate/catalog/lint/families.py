"""Which plans are of one family, and which of two looks dearer: by the words in their ids, or by their order.

Plans are of one family if their ids differ only in words for tiers and in numbers (`crm-basic`, `crm-pro`; a year is no
such number), or only in their last word (`crm-alpha`, `crm-beta`). The first kind is ranked by these words, the second
by the order in the file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import ItemKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.catalog.document import Position
    from tiergate.model import Catalog

__all__ = ["Family", "families"]

_TIERS: Final = (
    ("free", "trial", "community", "hobby"),
    ("nano", "micro", "mini", "lite", "light"),
    ("starter", "start", "entry", "bronze", "personal", "solo", "individual", "small", "xs", "s"),
    ("basic", "essential", "essentials", "core"),
    ("standard", "regular", "silver", "medium", "m"),
    ("plus", "growth", "team", "teams"),
    ("pro", "professional", "premium", "gold", "advanced", "large", "l"),
    ("business", "platinum", "scale", "xl"),
    ("enterprise", "ultimate", "diamond", "unlimited", "max", "xxl"),
)
_RANKS: Final = {word: rank for rank, words in enumerate(_TIERS) for word in words}
_WORD = re.compile(r"[0-9]+|[a-z]+")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")

_Rank = tuple[int, int]


class Family(NamedTuple):
    """Plans in groups that look the same, from those that look cheapest to those that look dearest."""

    groups: tuple[tuple[str, ...], ...]
    is_by_order: bool
    """Whether only their order in the file says so."""


def families(catalog: Catalog, place: Callable[[str], Position]) -> Iterator[Family]:
    """Every family of two or more; `place` says where a plan stands in the files."""
    by_tier: defaultdict[tuple[str, ...], defaultdict[_Rank, list[str]]] = defaultdict(lambda: defaultdict(list))
    by_stem: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for id_, item in catalog.items.items():
        if item.kind is not ItemKind.PLAN:
            continue
        words = _WORD.findall(id_.lower())
        stem = tuple(word for word in words if not _is_rank(word))
        if len(stem) < len(words):
            by_tier[stem][_rank(words)].append(id_)
        elif len(words) > 1 and not words[-1].isdigit():
            by_stem[stem[:-1]].append(id_)
    for ranked in by_tier.values():
        if len(ranked) > 1:
            yield Family(tuple(tuple(ranked[rank]) for rank in sorted(ranked)), is_by_order=False)
    for listed in by_stem.values():
        if len(listed) > 1:
            yield Family(tuple((id_,) for id_ in sorted(listed, key=place)), is_by_order=True)


def _is_rank(word: str) -> bool:
    return word in _RANKS or (word.isdigit() and not _YEAR.fullmatch(word))


def _rank(words: list[str]) -> _Rank:
    """Where the words for a tier, and the numbers, of an id put it."""
    tiers = [_RANKS[word] for word in words if word in _RANKS]
    numbers = [int(word) for word in words if word.isdigit() and not _YEAR.fullmatch(word)]
    return (tiers[-1] if tiers else -1), (numbers[-1] if numbers else 0)
