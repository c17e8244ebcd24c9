"""The policies that can decide checks of one feature, as formulas over all checks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.impact.symbolic.condition_reader import read_conditions, read_policy
from tiergate.impact.symbolic.formulas import (
    Atom,
    Formula,
    Truth,
    all_of,
    any_of,
    at_most,
    atoms,
    both,
    either,
    negated,
)
from tiergate.impact.symbolic.integer_solver import NONE, Unsolved
from tiergate.impact.symbolic.possible_cases import PossibleCase, find_case
from tiergate.impact.symbolic.symbolic_context import BundleEntities, SymbolicContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.engine.slices import PolicySlices, StaticPolicy
    from tiergate.model import Feature, Instant

_ORDINARY: Final = 10**12
"""Numbers up to this, in units of 10^-scale, are ordinary: a rule that fails for them will fail one day."""
_NUMBERS: Final = ("amount", "used", "limit", "allowance", "value", "userCap.used", "totalCap.used")


class FeatureRules:
    """The policies of one feature: when each applies and fails.

    `ids`: it, and all other features that policies treat alike.
    """

    def __init__(
        self, feature: Feature, ids: Sequence[str], slices: PolicySlices, data: BundleEntities, now: Instant
    ) -> None:
        self.feature = feature
        self.ids = ids
        self._now = now
        self._scene = SymbolicContext(data, feature)
        self.truths: dict[str, Truth] = {}
        self._statics: dict[str, StaticPolicy] = {}
        for static in slices.static:
            truth = read_policy(static.policy, self._scene)
            if truth.true is not False or truth.errs is not False:
                self.truths[static.id] = truth
                self._statics[static.id] = static
        given = self._scene.fact("given")
        template = read_conditions(slices.template(self._scene.action).policy, self._scene)
        self._of_items: Formula = both(True if given is None else given, template.true)

    @property
    def rules(self) -> list[str]:
        """The ids of the users' rules that can apply, in the order of their files."""
        return [id_ for id_, static in self._statics.items() if static.rule]

    def is_forbid(self, id_: str) -> bool:
        """Return whether a policy forbids."""
        return self._statics[id_].policy.effect == "forbid"

    def find(self, formula: Formula) -> PossibleCase | Unsolved:
        """Find a check from now on that fulfils a formula."""
        return find_case(formula, self._scene, self._now)

    def is_impossible(self, formula: Formula) -> bool:
        """Return whether it is proved that no check from now on fulfils a formula."""
        return self.find(formula) is NONE

    def member(self, ref: str) -> Formula:
        """Return when the requester has an item or a version of it."""
        return self._scene.member(ref)

    def applies(self, id_: str) -> Formula:
        """Return when a policy applies without failing."""
        truth = self.truths.get(id_, Truth(true=False))
        return both(truth.true, negated(truth.errs))

    def fails(self, without: str = "") -> Formula:
        """Return when some policy fails, except one."""
        return any_of(truth.errs for id_, truth in self.truths.items() if id_ != without)

    def forbidden(self, without: frozenset[str] = frozenset()) -> Formula:
        """Return when something forbids a check, except some policies."""
        return any_of(self.truths[it].true for it in self.truths if self.is_forbid(it) and it not in without)

    def permitted(self, without: frozenset[str] = frozenset()) -> Formula:
        """Return when something permits a check, except some policies."""
        own = any_of(self.truths[it].true for it in self.truths if not self.is_forbid(it) and it not in without)
        return either(own, self._of_items)

    def granted(self, without: frozenset[str] = frozenset()) -> Formula:
        """Return when a check is granted, with all policies but some."""
        fails = any_of(truth.errs for id_, truth in self.truths.items() if id_ not in without)
        return both(both(negated(fails), negated(self.forbidden(without))), self.permitted(without))

    def fails_ordinarily(self, id_: str) -> dict[str, int] | None:
        """Return ordinary numbers for which a rule fails; unsupported expressions are left aside."""
        errs = self.truths[id_].errs
        numbers = [number for name in _NUMBERS if (number := self._scene.number(name)) is not None]
        ordinary = all_of(at_most(number, _ORDINARY) for number in numbers)
        unread = [Atom(atom.about, 2) for atom in atoms(errs) if atom.about[0] == "unread"]
        found = self.find(both(both(errs, ordinary), negated(any_of(unread))))
        if not isinstance(found, PossibleCase):
            return None
        read = {name for atom in atoms(errs) if atom.about[0] == "number" for name, _ in atom.about[1]}  # type: ignore[attr-defined]
        return {name: number for name, number in sorted(found.numbers.items()) if name in read}
