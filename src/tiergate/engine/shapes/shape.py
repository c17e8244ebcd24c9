"""The shape of a check: the outcomes of everything that the policies of its slice test, as a key.

INVARIANT (a key says all): two checks of one shape with equal keys get the same answer from Cedar: the same decision,
the same deciding policies but for their item versions, and no error in either if there is none in one. ADR 58 has the
argument, `tests/properties/test_shapes.py` the comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tiergate.engine.cedar_context import CONTEXT_FUNCTIONS, context_terms
from tiergate.engine.cedar_entities import user_parents
from tiergate.engine.shapes.condition_reader import ConditionReader, UnreadableConditionError
from tiergate.engine.slices import item_ancestors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiergate.cedar import Policy, Uid
    from tiergate.engine.facts import Facts
    from tiergate.engine.normalized_check import NormalizedCheck
    from tiergate.engine.shapes.answer_table import Answer
    from tiergate.model import Feature, Instant, MeteredUsage, Subject

Key = tuple[object, ...]


class KeyFunction(Protocol):
    """Computes a key of facts; `None` if a number leaves Cedar's range, so that Cedar fails."""

    def __call__(
        self,
        facts: Facts,
        question: NormalizedCheck,
        usage: MeteredUsage,
        now: Instant,
        principal: Uid,
        subject: Subject,
    ) -> Key | None:
        """Return whether any item says something of the feature, then the outcomes of the tests, then the values."""
        ...


class Shape:
    """What the policies of a slice depend on, and Cedar's answers by key.

    `reads_whole_principal`: the principal as written for Cedar belongs to the key as well.
    """

    __slots__ = ("answers", "key", "reads_whole_principal", "source")

    def __init__(self, key: KeyFunction, source: str, *, reads_whole_principal: bool) -> None:
        self.key = key
        self.source = source
        self.reads_whole_principal = reads_whole_principal
        self.answers: dict[object, Answer] = {}


def shape_of(
    policies: Iterable[Policy], feature: Feature, *, time: bool, status: bool = False, metering: bool = True
) -> Shape | None:
    """Read the shape that policies give to the checks of features like this one; `None` if only Cedar can tell.

    `time`, `status`, `metering`: as in `context_terms`. Features of one `context_kind` have the same shape.
    """
    reader = ConditionReader(context_terms(feature, time=time, status=status, metering=metering))
    try:
        for policy in policies:
            reader.read(policy)
    except UnreadableConditionError:
        return None
    parts = ["bool(facts.givers)", *reader.tests, *reader.values]
    source = "\n".join(
        (
            "def key(facts, question, usage, now, principal, subject):",
            *(f"    {line}" for line in reader.lines),
            f"    return ({', '.join(parts)},)",
        )
    )
    scope: dict[str, Any] = {**reader.constants, **CONTEXT_FUNCTIONS, "ancestors_of": _ancestors}
    # The reader wrote this text, out of names and operators of its own and of literals as `repr` writes them.
    exec(compile(source, "<shape>", "exec"), scope)  # noqa: S102
    key = scope.pop("key")  # out of its own globals, so that it is freed with its shape
    return Shape(key, source, reads_whole_principal=reader.reads_whole_principal)


def _ancestors(principal: Uid, subject: Subject, refs: Sequence[str]) -> set[Uid]:
    """Return everything that a principal is in, and itself."""
    return {principal, *user_parents(subject), *item_ancestors(refs)}
