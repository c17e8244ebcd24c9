"""Suites, tests and cases, as values.

A test is a matrix: of subjects, features and requests, or, in a suite about roles, of callers, actions and resources.
Each cell is a case. INVARIANT (unstated is denied): a case that no row of `expected` selects is expected to be denied,
for whatever reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tiergate.model import Status

if TYPE_CHECKING:
    from tiergate.model import Check, Instant, MeteredUsage, Number, Reason
    from tiergate.permissions import Action, Caller, Resource

Place = tuple[str, int, int]
"""File, line and column; both count from 1."""


class SuiteKind(StrEnum):
    """What a suite tests: decisions on checks, a role table, or policies by themselves in Cedar's form."""

    ENTITLEMENTS = "entitlements"
    ROLES = "roles"
    CEDAR = "cedar"


@dataclass(frozen=True, slots=True)
class EntitlementQuery:
    """A check, at an instant, with metered usage (`None`: nothing is metered) and the status of its feature."""

    check: Check
    now: Instant
    usage: MeteredUsage | None = None
    status: Status = Status.OPERATIONAL


@dataclass(frozen=True, slots=True)
class PermissionQuery:
    """Whether a caller may perform an action on a resource."""

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


Query = EntitlementQuery | PermissionQuery | CedarQuery


@dataclass(frozen=True, slots=True)
class Expectation:
    """The expected result of a case; what is `None` may be anything.

    `value`: the number, label, true or false, or the text `unlimited`; `has_value`: whether it is expected, since
    `null` (nothing) is a value too. `overage`: 0 if there is none. `sources`: `plan/gold@3`, or `override/` and the
    override's id. `policies`: the deciding ones. Both are compared as sets; in Cedar's form those expected must be
    among the deciding ones. `valid_until`: `FOREVER` if nothing changes by itself. `errors`: how many policies fail.
    """

    allowed: bool = False
    reason: Reason | None = None
    has_value: bool = False
    value: bool | Number | str | None = None
    remaining: Number | None = None
    overage: Number | None = None
    sources: tuple[str, ...] | None = None
    policies: tuple[str, ...] | None = None
    valid_until: Instant | None = None
    errors: int | None = None


UNSTATED = Expectation()
"""A denial, for whatever reason."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cell of a test's matrix.

    `subject`, `feature`, `request`: their names in the file; in a suite about roles the caller, the action and the
    resource. `request` is empty if the test has no requests. `place`: the row of `expected` that selects it, else the
    test.
    """

    subject: str
    feature: str
    request: str
    query: Query
    expected: Expectation
    place: Place
    stated: bool

    @property
    def name(self) -> str:
        """The name within its test: `ada · movies · one too many`."""
        return " · ".join(part for part in (self.subject, self.feature, self.request) if part)


@dataclass(frozen=True, slots=True)
class Test:
    """A named matrix. `skip`: why it is not run, empty if it is."""

    __test__ = False  # no class for pytest to collect

    name: str
    place: Place
    cases: tuple[Case, ...]
    description: str = ""
    skip: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """A test file. `environment`: the key of its environment."""

    name: str
    file: str
    kind: SuiteKind
    environment: str
    tests: tuple[Test, ...]
    description: str = ""
    skip: str = ""
