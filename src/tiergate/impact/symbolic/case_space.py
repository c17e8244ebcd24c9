"""The space of all cases that some formulas distinguish, and their decision diagrams over it.

The subject of an atom becomes a variable, with one value for each class of cases that its tests distinguish: the ranges
between the numbers a form is compared with, the texts an attribute is compared with and all others, the kinds of
requesters. INVARIANT (cases are complete): every possible check falls into one value of each variable. Values of
several variables may exclude each other; the search for counterexamples finds out.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.impact.symbolic.decision_diagrams import FALSE, TRUE, DecisionDiagrams, TooLargeError
from tiergate.impact.symbolic.formulas import And, Atom, Formula, Not, atoms
from tiergate.impact.symbolic.symbolic_context import matches_pattern, test_text

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from tiergate.cedar import Uid

_MOST_PEOPLE: Final = 20_000
_MOST_VARIABLES: Final = 250
_MOST_PATTERNS: Final = 6
_MOST_VALUES: Final = 2_000
_RATHER_TRUE: Final = frozenset({"live", "held", "given"})
"""Facts that are tried as true first, because they are for most subjects."""

About = tuple["Hashable", ...]
Pattern = tuple[str | None, ...]


class TextClass(NamedTuple):
    """A missing text (`value` is none and `other` false), one text, or all others that match patterns."""

    value: str | None = None
    other: bool = False
    fits: frozenset[Pattern] = frozenset()

    def passes(self, test: tuple[str, object]) -> bool:
        """Return whether it passes a test."""
        if not self.other:
            return test_text(self.value, test)
        kind, what = test
        return kind == "present" or (kind == "like" and what in self.fits)


class Requester(NamedTuple):
    """A customer or subscription of a customer, perhaps with a user; an empty id: any other."""

    kind: str
    id: str
    customer: TextClass
    user: str | None = None

    def passes(self, test: tuple[str, object]) -> bool:
        """Return whether a requester passes a test."""
        kind, what = test
        match kind:
            case "is":
                return what == ("User" if self.user is not None else self.kind)
            case "customer":
                return self.customer.passes(("is", what))
            case "like":
                return self.customer.passes(("like", what))
            case "equal":
                return self._is(what)  # type: ignore[arg-type]
            case _:
                return self._is(what) or (self.kind, self.id) == what  # type: ignore[arg-type]

    def _is(self, uid: Uid) -> bool:
        own = ("User", self.user) if self.user is not None else (self.kind, self.id)
        return bool(own[1]) and own == (uid.type, uid.id)


class CaseSpace:
    """The variables of some formulas, and diagrams over them.

    `holders`: the customers and subscriptions that may make the check, if known, with or without users.

    Raises:
        TooLargeError: if there are too many cases.
    """

    def __init__(self, formulas: Iterable[Formula], holders: Sequence[Requester] | None = None) -> None:
        tests: dict[About, dict[Hashable, None]] = {}
        for formula in formulas:
            for atom in atoms(formula):
                tests.setdefault(atom.about, {}).setdefault(atom.test)
        self._holders = holders
        self.tests = tests
        self.abouts = sorted(tests, key=lambda it: (it[0] != "who", it[0] == "tags"))
        named = [str(entry[1]) for entry in self.abouts if entry[0] == "tag"]
        within = tests.pop(("tags",), {})
        for names in within:
            for name in sorted(names):  # type: ignore[call-overload]
                if name not in named:
                    named.append(name)
                    tests[("tag", name)] = {True: None}
        self.abouts = [about for about in self.abouts if about != ("tags",)]
        self.abouts += [test for test in tests if test not in set(self.abouts)]
        if within:
            self.abouts.append(("other tags",))
        self.named_tags = named
        if len(self.abouts) > _MOST_VARIABLES:
            raise TooLargeError
        self.values: list[Sequence[object]] = [self._values(it, list(tests.get(it, ()))) for it in self.abouts]
        self._place = {about: place for place, about in enumerate(self.abouts)}
        self.diagrams = DecisionDiagrams([len(value) for value in self.values])
        self._made: dict[int, tuple[Formula, int]] = {}

    def _values(self, about: About, tests: list[Hashable]) -> Sequence[object]:
        match about[0]:
            case "number":
                cuts = sorted(tests)  # type: ignore[type-var]
                return [*cuts, None]
            case "unread":
                return (0, 1, 2)
            case "text":
                return [TextClass(), *_texts(tests)]  # type: ignore[arg-type]
            case "who":
                people = _people(tests, self._holders)  # type: ignore[arg-type]
                kept: dict[tuple[bool, ...], Requester] = {}
                for entry in people:
                    kept.setdefault(tuple([entry.passes(it) for it in tests]), entry)  # type: ignore[arg-type]
                return list(kept.values())
            case "fact" if about[1] in _RATHER_TRUE:
                return (True, False)
            case _:
                return (False, True)

    def diagram(self, formula: Formula) -> int:
        """Return the diagram of a formula."""
        if isinstance(formula, bool):
            return TRUE if formula else FALSE
        known = self._made.get(id(formula))
        if known is not None:
            return known[1]
        match formula:
            case Atom():
                created = self._atom(formula)
            case Not(of=of):
                created = self.diagrams.negated(self.diagram(of))
            case And(one=one, other=other):
                created = self.diagrams.both(self.diagram(one), self.diagram(other))
        self._made[id(formula)] = (formula, created)
        return created

    def _atom(self, atom: Atom) -> int:
        about, test = atom
        if about == ("tags",):
            return self._within(test)  # type: ignore[arg-type]
        place = self._place[about]
        values = self.values[place]
        match about[0]:
            case "number":
                last = values.index(test)
                return self.diagrams.test(place, lambda it: it <= last)
            case "text" | "who":
                return self.diagrams.test(place, lambda it: values[it].passes(test))  # type: ignore[attr-defined]
            case _:
                return self.diagrams.test(place, lambda it: values[it] == test)

    def _within(self, names: frozenset[str]) -> int:
        """Return the diagram that is true if the customer has no other tags than these."""
        diagrams = self.diagrams
        result = diagrams.test(self._place[("other tags",)], lambda it: not it)
        for name in self.named_tags:
            if name not in names:
                result = diagrams.both(result, diagrams.test(self._place[("tag", name)], lambda it: not it))
        return result


def _texts(tests: Iterable[tuple[str, object]]) -> list[TextClass]:
    """Return the classes of texts that tests distinguish: the texts they name, and all others by pattern."""
    listed = list(tests)
    patterns: list[Pattern] = [what for kind, what in listed if kind == "like"]  # type: ignore[misc]
    if len(patterns) > _MOST_PATTERNS:
        raise TooLargeError
    named = [str(what) for kind, what in listed if kind in {"is", "customer"}]
    for pattern in patterns:
        named += ["".join(filler if it is None else it for it in pattern) for filler in ("", "x", "other")]
    found = [TextClass(it) for it in dict.fromkeys(named)]
    for chosen in product((False, True), repeat=len(patterns)):
        fits = frozenset(it for it, wanted in zip(patterns, chosen, strict=True) if wanted)
        if all(_can_fit(fit, other) for fit in fits for other in fits) and all(
            any(part is not None for part in it) or it in fits for it in patterns
        ):
            found.append(TextClass(other=True, fits=fits))
    if len(found) > _MOST_VALUES:
        raise TooLargeError
    return found


def _can_fit(one: Pattern, other: Pattern) -> bool:
    """Return whether a text may match both patterns, by their starts and ends; true if in doubt."""
    for first, second in ((one, other), (one[::-1], other[::-1])):
        for left, right in zip(first, second, strict=False):
            if left is None or right is None:
                break
            if left != right:
                return False
    return True


def _people(tests: Iterable[tuple[str, object]], holders: Sequence[Requester] | None) -> list[Requester]:
    """Return all requesters that tests distinguish."""
    listed = list(tests)
    ids: dict[str, list[str]] = {"Customer": [], "Subscription": [], "User": []}
    texts: list[tuple[str, object]] = []
    for kind, what in listed:
        if kind in {"equal", "in"} and what.type in ids:  # type: ignore[attr-defined]
            ids[what.type].append(what.id)  # type: ignore[attr-defined]
        elif kind in {"customer", "like"}:
            texts.append((kind, what))
    texts += [("customer", it) for it in ids["Customer"]]
    customers = _texts(dict.fromkeys(texts))
    users = [None, "", *dict.fromkeys(ids["User"])]
    if holders is not None:
        return [holder._replace(user=user) for holder in holders for user in users]
    subscriptions = ["", *dict.fromkeys(ids["Subscription"])]
    if len(customers) * len(users) * (1 + len(subscriptions)) > _MOST_PEOPLE:
        raise TooLargeError
    requesters = []
    for user in users:
        for customer in customers:
            requesters.append(Requester("Customer", customer.value or "", customer, user))
            requesters += [Requester("Subscription", subscription, customer, user) for subscription in subscriptions]
    return requesters


def example_text(text: TextClass, tests: Iterable[Pattern], excluded: Iterable[str]) -> str | None:
    """Return a text of a class; `None` if none is found."""
    if not text.other:
        return text.value
    patterns, known = list(tests), set(excluded)
    tried = ["another", "other", "z", "bearer-1"]
    for pattern in text.fits:
        tried += ["".join(filler if it is None else it for it in pattern) for filler in ("", "q", "zz", "another")]
    for value in tried:
        if value not in known and frozenset(it for it in patterns if matches_pattern(value, it)) == text.fits:
            return value
    return None
