"""Terms: the values of expressions in conditions, as far as they are known before a check."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.cedar import Uid
from tiergate.impact.symbolic.formulas import Formula, Linear, Truth

if TYPE_CHECKING:
    from collections.abc import Callable


class UnsupportedExpressionError(Exception):
    """An expression that is not supported."""


class TextTerm(NamedTuple):
    """A known text."""

    value: str


class AttributeTerm(NamedTuple):
    """An attribute of the customer."""

    key: str


class CustomerTerm(NamedTuple):
    """The customer's id."""


class TagsTerm(NamedTuple):
    """The customer's tags."""


class PrincipalTerm(NamedTuple):
    """The requester."""


class ContextTerm(NamedTuple):
    """The context, or a record in it."""

    path: str = ""


class SetTerm(NamedTuple):
    """A set."""

    members: tuple[Term, ...]


class RecordTerm(NamedTuple):
    """A record."""

    fields: dict[str, Term]


class StepTerm(NamedTuple):
    """A number that grows with a form: `bound` returns the greatest form for which it is at most a number."""

    of: Linear
    bound: Callable[[int], int]


Term = (
    Truth | Linear | Uid | TextTerm | AttributeTerm | CustomerTerm | TagsTerm | PrincipalTerm | ContextTerm | SetTerm
    | RecordTerm | StepTerm
)  # fmt: skip


class TermResult(NamedTuple):
    """The value of an expression, and when it fails."""

    term: Term
    errs: Formula = False
