"""What a test file says: a suite of tests, and the cases that they stand for. Values only; nothing is decided here.

A test is a matrix: of subjects, features and requests, or, in a suite about roles, of callers, actions and resources.
Each cell is a case. INVARIANT (unstated is denied): a case of which no row of `expected` speaks is expected to be
denied, whatever the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiergate.engine import MeteredUsage
    from tiergate.model import Check, Instant, Number, Reason
    from tiergate.permissions import Action, Caller, Resource

Place = tuple[str, int, int]
"""File, line and column; both count from 1."""


class SuiteKind(StrEnum):
    """What a suite is about: decisions on checks, the table of roles, or policies by themselves in Cedar's form."""

    ENTITLEMENTS = "entitlements"
    ROLES = "roles"
    CEDAR = "cedar"


@dataclass(frozen=True, slots=True)
class EntitlementQuery:
    """A check, at an instant, with the metered usage that is known (none: nothing is metered)."""

    check: Check
    now: Instant
    usage: MeteredUsage | None = None


@dataclass(frozen=True, slots=True)
class PermissionQuery:
    """Whether a caller may do something to something."""

    caller: Caller
    action: Action
    resource: Resource


@dataclass(frozen=True, slots=True)
class CedarQuery:
    """A request in Cedar's own form: entity UIDs as text, context and entities as JSON."""

    principal: str
    action: str
    resource: str
    context: str
    entities: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must come of a case; what is `None` may be anything.

    `value`: the number, label, true or false, or the text `unlimited`; `has_value` says whether it is stated, since
    nothing held (`null`) is a value too. `sources`: `plan/gold@3`, or `override/` and the override's id. `policies`:
    the deciding ones. Both are compared as sets, but in Cedar's own form, where those stated must be among the deciding
    ones. `valid_until`: `FOREVER` where nothing changes by itself. `errors`: how many policies erred.
    """

    allowed: bool = False
    reason: Reason | None = None
    has_value: bool = False
    value: bool | Number | str | None = None
    remaining: Number | None = None
    sources: tuple[str, ...] | None = None
    policies: tuple[str, ...] | None = None
    valid_until: Instant | None = None
    errors: int | None = None


UNSTATED = Expectation()
"""A denial, whatever its reason."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cell of a test's matrix.

    `subject`, `feature`, `request` are the names by which the file knows them; in a suite about roles they name the
    caller, the action and the resource. `request` is empty where the test has no requests of its own. `place` is the
    row of `expected` that speaks of it, else the test's.
    """

    subject: str
    feature: str
    request: str
    query: EntitlementQuery | PermissionQuery | CedarQuery
    expected: Expectation
    place: Place
    stated: bool

    @property
    def name(self) -> str:
        """The case among those of its test: `ada · movies · one too many`."""
        return " · ".join(part for part in (self.subject, self.feature, self.request) if part)


@dataclass(frozen=True, slots=True)
class Test:
    """A named matrix. `skip` says why it is not run, and is empty where it is."""

    __test__ = False  # no class for pytest to collect

    name: str
    place: Place
    cases: tuple[Case, ...]
    description: str = ""
    skip: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """A test file. `environment` is the key under which the runner finds what its cases are decided against."""

    name: str
    file: str
    kind: SuiteKind
    environment: str
    tests: tuple[Test, ...]
    description: str = ""
    skip: str = ""
