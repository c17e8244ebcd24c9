"""Whether any check of a feature fulfils a formula: over all facts, numbers, requesters and instants.

The answer is a case, a proof that there is none (`NONE`), or neither (`UNKNOWN`): a formula may distinguish more cases
than the bounds allow, or rest on an expression that is not supported. INVARIANT (none is proved): `NONE` is returned
only if no check, of any subject, at any instant from `now` on, fulfils the formula.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.impact.symbolic.case_enumeration import SymbolicCase, symbolic_cases
from tiergate.impact.symbolic.case_space import CaseSpace
from tiergate.impact.symbolic.decision_diagrams import FALSE, TooLargeError
from tiergate.impact.symbolic.formulas import Formula, Linear, at_most, both
from tiergate.impact.symbolic.integer_solver import NONE, UNKNOWN, Unsolved, first_instant_within, solve
from tiergate.impact.symbolic.reason_formulas import possible_facts, possible_memberships
from tiergate.model import BEGINNING, FIRST_INSTANT, FeatureType, Instant

if TYPE_CHECKING:
    from tiergate.impact.symbolic.symbolic_context import SymbolicContext

_MOST_PATHS: Final = 200


class PossibleCase(NamedTuple):
    """A case that fulfils a formula: its facts, numbers and instant. Numbers are those that matter."""

    case: SymbolicCase
    numbers: dict[str, int]
    at: Instant


def find_case(
    formula: Formula, scene: SymbolicContext, now: Instant = BEGINNING, *, within: Formula = True
) -> PossibleCase | Unsolved:
    """Find a check of a feature from `now` on that fulfils a formula, and `within`; or prove that there is none."""
    whole = both(formula, within)
    if whole is False:
        return NONE
    care = both(possible_checks(scene), possible_memberships([whole]))
    try:
        space = CaseSpace([whole, care])
        diagram = space.diagrams.both(space.diagram(whole), space.diagram(care))
        if diagram == FALSE:
            return NONE
        return _solved(space, diagram, max(now, FIRST_INSTANT))
    except (TooLargeError, RecursionError):
        return UNKNOWN


def _solved(space: CaseSpace, diagram: int, now: Instant) -> PossibleCase | Unsolved:
    proved = True
    for place, case in enumerate(symbolic_cases(space, diagram, now)):
        if place >= _MOST_PATHS:
            return UNKNOWN
        if case is None:
            proved = False
            continue
        at = first_instant_within(case.between, case.times, case.weekdays)
        if at is None:
            continue
        numbers = solve(case.rows)
        if isinstance(numbers, dict):
            return PossibleCase(case, numbers, at)
        proved = proved and numbers is NONE
    return NONE if proved else UNKNOWN


def possible_checks(scene: SymbolicContext) -> Formula:
    """Return what holds for every check of a feature: its facts fit each other, and it names a level that there is."""
    whole = possible_facts(scene)
    if scene.feature.type is FeatureType.CUSTOM:
        for name in ("rank", "heldRank"):
            rank = scene.number(name)
            if isinstance(rank, Linear):
                whole = both(whole, at_most(rank, len(scene.feature.labels)))
    return whole
