"""Find numbers and instants that satisfy the bounds of a case, or prove that there are none.

Small systems of linear inequalities over integers: bounds are propagated, then values are tried. The result is a
solution, `NONE` (proven), or `UNKNOWN`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.impact.symbolic.formulas import variable_range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DAY: Final = 86_400_000
_THURSDAY: Final = 4
_MOST_TRIED: Final = 300
_ROUNDS: Final = 40


class Unsolved(Enum):
    """Why there is no solution: there is none, or none was found."""

    NONE = "none"
    UNKNOWN = "unknown"


NONE: Final = Unsolved.NONE
UNKNOWN: Final = Unsolved.UNKNOWN


class LinearBound(NamedTuple):
    """A linear form is from `least` to `most`."""

    terms: tuple[tuple[str, int], ...]
    least: int
    most: int


def solve(rows: Sequence[LinearBound], fixed: Mapping[str, int] | None = None) -> dict[str, int] | Unsolved:
    """Find integers for all variables; those in `fixed` have their number already."""
    bounds = {name: variable_range(name) for row in rows for name, _ in row.terms}
    listed = list(rows)
    listed += [_multiple(name, bounds) for name in list(bounds) if name.startswith("remainder/")]
    for name, number in (fixed or {}).items():
        if name in bounds:
            bounds[name] = (number, number)
    result = _Search(listed).solve(bounds)
    if isinstance(result, dict):
        return {name: number for name, number in result.items() if not name.startswith("times/")}
    return result


def _multiple(name: str, bounds: dict[str, tuple[int, int]]) -> LinearBound:
    """Return the relation of an amount and its remainder."""
    step = int(name.partition("/")[2])
    bounds.setdefault("amount", variable_range("amount"))
    bounds[f"times/{step}"] = (0, variable_range("amount")[1])
    return LinearBound((("amount", 1), (f"times/{step}", -step), (name, -1)), 0, 0)


class _Search:
    def __init__(self, rows: list[LinearBound]) -> None:
        self._rows = rows
        self._tried = 0

    def solve(self, bounds: dict[str, tuple[int, int]]) -> dict[str, int] | Unsolved:
        self._tried += 1
        narrowed = self._narrowed(bounds)
        if narrowed is None:
            return NONE
        wide = [name for name, (low, high) in narrowed.items() if low < high]
        if not wide:
            return {name: low for name, (low, _) in narrowed.items()}
        name = min(wide, key=lambda it: (narrowed[it][1] - narrowed[it][0], it))
        low, high = narrowed[name]
        whole = high - low < 4
        for number in dict.fromkeys(
            range(low, high + 1) if whole else (low, low + 1, high, high - 1, (low + high) // 2)
        ):
            if self._tried > _MOST_TRIED:
                return UNKNOWN
            solution = self.solve(narrowed | {name: (number, number)})
            if isinstance(solution, dict):
                return solution
            whole = whole and solution is NONE
        return NONE if whole else UNKNOWN

    def _narrowed(self, bounds: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]] | None:
        """Return tighter bounds that hold in every solution; `None` if there is none."""
        result = dict(bounds)
        for _ in range(_ROUNDS):
            moved = False
            for terms, least, most in self._rows:
                low = sum(factor * result[name][0 if factor > 0 else 1] for name, factor in terms)
                high = sum(factor * result[name][1 if factor > 0 else 0] for name, factor in terms)
                if low > most or high < least:
                    return None
                for name, factor in terms:
                    begin, end = result[name]
                    rest_low = low - factor * (begin if factor > 0 else end)
                    rest_high = high - factor * (end if factor > 0 else begin)
                    small, large = least - rest_high, most - rest_low
                    if factor < 0:
                        small, large = large, small
                    new = (max(begin, -(-small // factor)), min(end, large // factor))
                    if new[0] > new[1]:
                        return None
                    if new != (begin, end):
                        moved = True
                        result[name] = new
                        low = sum(coefficient * result[it][0 if coefficient > 0 else 1] for it, coefficient in terms)
                        high = sum(coefficient * result[it][1 if coefficient > 0 else 0] for it, coefficient in terms)
            if not moved:
                break
        return result


def first_instant_within(
    between: tuple[int, int], times: tuple[int, int] = (0, _DAY - 1), weekdays: tuple[int, int] = (1, 7)
) -> int | None:
    """Return the first instant of a closed interval at such a time of day and weekday, in UTC."""
    first, last = between
    if first > last or times[0] > times[1]:
        return None
    day = first // _DAY
    for place in range(day, min(day + 8, last // _DAY) + 1):
        if not weekdays[0] <= (place + _THURSDAY - 1) % 7 + 1 <= weekdays[1]:
            continue
        instant = max(first, place * _DAY + times[0])
        if instant <= min(last, place * _DAY + times[1]):
            return instant
    return None
