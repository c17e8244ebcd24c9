"""Turn the paths of a decision diagram into cases: the facts, requester, tags, texts, items, numbers and time."""

from __future__ import annotations

from itertools import islice, product
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tiergate.impact.symbolic.case_space import Requester, TextClass
from tiergate.impact.symbolic.formulas import variable_range
from tiergate.impact.symbolic.integer_solver import LinearBound
from tiergate.impact.symbolic.symbolic_context import HAS_RESET
from tiergate.model import LAST_INSTANT

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from tiergate.impact.symbolic.case_space import CaseSpace
    from tiergate.model import Instant

_MOST_BOXES: Final = 12
_OTHER_TAG: Final = "another-tag"
_RESETS: Final = (("resetsAt", 1),)
_FUTURE: Final = (1, 2**62)
_NEVER: Final = (1, 0)
_AHEAD: Final = (("now", 1), ("resetsAt", -1))
"""The form of how far the reset is ahead, which is below 0 at every instant."""


class SymbolicCase(NamedTuple):
    """What must be so: facts, who asks, tags, attributes, items held or not, rows of numbers, and when.

    `resets`: between which instants usage resets; `ahead`: how many milliseconds after the check. Whichever instant of
    `between` is chosen, both can be fulfilled.
    """

    facts: dict[str, bool]
    person: Requester | None
    tags: tuple[str, ...]
    texts: dict[str, TextClass]
    items: dict[str, bool]
    rows: tuple[LinearBound, ...]
    between: tuple[Instant, Instant]
    times: tuple[int, int]
    weekdays: tuple[int, int]
    resets: tuple[Instant, Instant]
    ahead: tuple[int, int]

    def reset_at(self, at: Instant) -> Instant | None:
        """Return when usage resets in a check at an instant; none where that must not be known, or does not matter."""
        if not self.facts.get(HAS_RESET):
            return None
        return max(self.resets[0], at + self.ahead[0])


def symbolic_cases(
    space: CaseSpace, diagram: int, now: Instant, until: Instant = LAST_INSTANT
) -> Iterator[SymbolicCase | None]:
    """The ways to make a diagram true within an interval of time; `None` for one that cannot be put as one case."""
    for path in space.diagrams.paths(diagram):
        yield from _boxes(space, path, (now, until))


def _boxes(
    space: CaseSpace, path: dict[int, list[int]], between: tuple[Instant, Instant]
) -> Iterator[SymbolicCase | None]:
    """The cases of one path: one for each choice of stretches of numbers."""
    result = SymbolicCase(
        {},
        None,
        (),
        {},
        {},
        (),
        between,
        variable_range("time"),
        variable_range("weekday"),
        variable_range("resetsAt"),
        _FUTURE,
    )
    numbers: list[list[LinearBound]] = []
    for place, allowed in path.items():
        about, values = space.abouts[place], space.values[place]
        if about[0] == "number":
            numbers.append(list(_stretches(about[1], values, allowed)))  # type: ignore[arg-type]
        elif len(allowed) < len(values):
            result = _narrowed(result, about, values[allowed[0]])
    for place, rows in enumerate(islice(product(*numbers), _MOST_BOXES + 1)):
        yield None if place == _MOST_BOXES else _timed(result, rows)


def _narrowed(case: SymbolicCase, about: tuple[Hashable, ...], value: object) -> SymbolicCase:
    """A case in which one thing more is known."""
    match about[0]:
        case "fact":
            return case._replace(facts=case.facts | {str(about[1]): bool(value)})
        case "tag" if value:
            return case._replace(tags=(*case.tags, str(about[1])))
        case "other tags" if value:
            return case._replace(tags=(*case.tags, _OTHER_TAG))
        case "item":
            ref = str(about[1])
            return case._replace(items=case.items | {ref: bool(value) or case.items.get(ref, False)})
        case _:
            if isinstance(value, TextClass):
                return case._replace(texts=case.texts | {str(about[1]): value})
            return case._replace(person=value) if isinstance(value, Requester) else case


def _timed(case: SymbolicCase, rows: Iterable[LinearBound]) -> SymbolicCase | None:
    """A case with its rows, those of time apart; none where time and numbers are mixed."""
    spans = {"now": case.between, "time": case.times, "weekday": case.weekdays, "resetsAt": case.resets}
    ahead = case.ahead
    rest: list[LinearBound] = []
    for row in rows:
        names = [name for name, _ in row.terms]
        if not set(names) & set(spans):
            rest.append(row)
        elif len(names) == 1:
            spans[names[0]] = _within(spans[names[0]], (row.least, row.most))
        elif row.terms == _AHEAD:
            ahead = _within(ahead, (-row.most, -row.least))
        else:
            return None
    resets, between = spans["resetsAt"], spans["now"]
    if case.facts.get(HAS_RESET):
        # Bounds of two instants and of their difference: each instant within these limits has one that fits.
        between = _within(between, (resets[0] - ahead[1], resets[1] - ahead[0]))
        if resets[0] > resets[1] or ahead[0] > ahead[1]:
            between = _NEVER
    return case._replace(
        rows=tuple(rest),
        between=between,
        times=spans["time"],
        weekdays=spans["weekday"],
        resets=resets,
        ahead=ahead,
    )


def _within(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return max(one[0], other[0]), min(one[1], other[1])


def _stretches(terms: tuple[tuple[str, int], ...], values: Sequence[Any], allowed: list[int]) -> Iterator[LinearBound]:
    """The stretches of a form's numbers that some of its values make together."""
    begin = end = allowed[0]
    for value in [*allowed[1:], None]:
        if value is not None and value == end + 1:
            end = value
            continue
        least = -(2**70) if begin == 0 else values[begin - 1] + 1
        yield LinearBound(terms, least, 2**70 if values[end] is None else values[end])
        if value is not None:
            begin = end = value
