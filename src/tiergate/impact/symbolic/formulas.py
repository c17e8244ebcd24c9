"""Formulas: conditions as Boolean combinations of atoms, each a test of one thing.

An atom is about a fact, a tag, an attribute, an item, the requester, or a linear form of numbers; `case_space` defines
the values. Numbers are integers, as in Cedar.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import FIRST_INSTANT, LAST_INSTANT, MAX_TOTAL_UNITS, Status
from tiergate.model.amounts import MAX_EDGE_UNITS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

SMALLEST: Final = -(2**63)
BIGGEST: Final = 2**63 - 1
"""The range of Cedar's numbers."""


class Atom(NamedTuple):
    """A test: `about` identifies its subject, `test` is the test."""

    about: tuple[Hashable, ...]
    test: Hashable


class Not(NamedTuple):
    """The negation of a formula."""

    of: Formula


class And(NamedTuple):
    """The conjunction of two formulas."""

    one: Formula
    other: Formula


Formula = bool | Atom | Not | And


def negated(formula: Formula) -> Formula:
    """Return the negation of a formula."""
    if isinstance(formula, bool):
        return not formula
    return formula.of if isinstance(formula, Not) else Not(formula)


def both(left: Formula, right: Formula) -> Formula:
    """Return the conjunction of two formulas."""
    if isinstance(left, bool):
        return right if left else False
    if isinstance(right, bool):
        return left if right else False
    return left if left is right else And(left, right)


def either(left: Formula, right: Formula) -> Formula:
    """Return the disjunction of two formulas."""
    return negated(both(negated(left), negated(right)))


def all_of(formulas: Iterable[Formula]) -> Formula:
    """Return the conjunction of formulas."""
    result: Formula = True
    for formula in formulas:
        result = both(result, formula)
    return result


def any_of(formulas: Iterable[Formula]) -> Formula:
    """Return the disjunction of formulas."""
    return negated(all_of(map(negated, formulas)))


def atoms(formula: Formula) -> list[Atom]:
    """Return every atom of a formula, in order of appearance."""
    result: dict[Atom, None] = {}
    seen: set[int] = set()
    stack = [formula]
    while stack:
        node = stack.pop()
        if isinstance(node, Atom):
            result.setdefault(node)
        elif not isinstance(node, bool) and id(node) not in seen:
            seen.add(id(node))
            stack.extend((node.of,) if isinstance(node, Not) else (node.other, node.one))
    return list(result)


class Truth(NamedTuple):
    """A condition: when it is true, and when Cedar fails to evaluate it."""

    true: Formula
    errs: Formula = False

    @property
    def false(self) -> Formula:
        """When it is false without failing."""
        return both(negated(self.true), negated(self.errs))

    def but(self, errs: Formula) -> Truth:
        """Return the same, unless something else fails before it."""
        return self if errs is False else Truth(both(self.true, negated(errs)), either(errs, self.errs))


class Linear(NamedTuple):
    """A sum of multiples of variables, and a constant: sorted by variable, no factor is zero."""

    terms: tuple[tuple[str, int], ...]
    constant: int = 0

    @property
    def is_constant(self) -> bool:
        """Whether it has no variables."""
        return not self.terms

    def plus(self, other: Linear, times: int = 1) -> Linear:
        """Return the sum with a multiple of another."""
        result = dict(self.terms)
        for name, factor in other.terms:
            result[name] = result.get(name, 0) + times * factor
        return linear(result, self.constant + times * other.constant)

    def times(self, factor: int) -> Linear:
        """Return a multiple."""
        return linear({name: it * factor for name, it in self.terms}, self.constant * factor)

    def span(self, limits: Callable[[str], tuple[int, int]]) -> tuple[int, int]:
        """Return the least and the greatest value."""
        least = most = self.constant
        for name, factor in self.terms:
            low, high = limits(name)
            least += factor * (low if factor > 0 else high)
            most += factor * (high if factor > 0 else low)
        return least, most


def linear(terms: dict[str, int], constant: int = 0) -> Linear:
    """Return a linear form in canonical form."""
    return Linear(tuple(sorted((name, factor) for name, factor in terms.items() if factor)), constant)


_RANGES: Final = {
    "amount": (1, MAX_EDGE_UNITS),
    "used": (0, MAX_TOTAL_UNITS),
    "limit": (0, MAX_TOTAL_UNITS),
    "allowance": (0, MAX_TOTAL_UNITS),
    "ceiling": (0, MAX_TOTAL_UNITS),
    "draws.used": (0, MAX_TOTAL_UNITS),
    "draws.ceiling": (0, MAX_TOTAL_UNITS),
    "userCap.used": (0, MAX_TOTAL_UNITS),
    "totalCap.used": (0, MAX_TOTAL_UNITS),
    "value": (0, MAX_EDGE_UNITS),
    "rank": (1, 10_000),
    "heldRank": (0, 10_000),
    "weekday": (1, 7),
    "status": (0, len(Status) - 1),
    "now": (FIRST_INSTANT, LAST_INSTANT),
    "resetsAt": (FIRST_INSTANT, LAST_INSTANT),
    "time": (0, 86_399_999),
}


def variable_range(name: str) -> tuple[int, int]:
    """Return the least and the greatest value of a variable of the context."""
    if name.startswith("remainder/"):
        return 0, int(name.partition("/")[2]) - 1
    if name.startswith("draws.amount/"):
        return 0, MAX_TOTAL_UNITS
    return _RANGES[name]


def at_most(form: Linear, bound: int) -> Formula:
    """Return when a form is no more than a number."""
    least, most = form.span(variable_range)
    if most <= bound:
        return True
    if least > bound:
        return False
    bound -= form.constant
    factor = gcd(*(it for _, it in form.terms))
    if form.terms[0][1] < 0:
        names = tuple((name, -it // factor) for name, it in form.terms)
        return Not(Atom(("number", names), -(bound // factor) - 1))
    return Atom(("number", tuple((name, it // factor) for name, it in form.terms)), bound // factor)


def equals(left: Linear, right: Linear) -> Formula:
    """Return when two forms are equal."""
    rest = left.plus(right, -1)
    return both(at_most(rest, 0), negated(at_most(rest, -1)))


def overflows(form: Linear) -> Formula:
    """Return when a form exceeds the range of Cedar's numbers."""
    return either(at_most(form, SMALLEST - 1), negated(at_most(form, BIGGEST)))
