"""The sidecar's answers as values: the structs of the wire, with `None` or an empty text for what is absent.

Numbers are exact: an `int` if the answer has no decimal digits, else a :class:`~decimal.Decimal`. Members that this
version does not know are ignored, so that a newer sidecar can send more.

What is not JSON, or not as documented, is a `ValueError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tiergate import model
from tiergate.model import Number, ShownValue  # noqa: TC001 - as above
from tiergate.wire import json
from tiergate.wire.decision import DecisionDocument

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


class Entitlement(model.Entitlement, frozen=True):
    """What the subject has, whatever was decided.

    `value`: true or false for a switch, the level's label or `None` for a custom feature, else a number; `None` if
    `unlimited`. `used` and `remaining`: of a quantity; `remaining` is `None` if `unlimited`. `granted`: how much of
    `value` is granted units. `overage`: how much is used above the limit. `caps`: those of the feature, beside
    `value`. Each is `None` if there is none.
    """

    value: ShownValue = None
    unlimited: bool = False
    unit: str = ""
    used: Number | None = None  # type: ignore[assignment] # absent on the wire
    remaining: Number | None = None  # type: ignore[assignment] # absent on the wire
    granted: Number | None = None  # type: ignore[assignment] # absent on the wire
    overage: Number | None = None  # type: ignore[assignment] # absent on the wire
    caps: model.ShownCaps | None = None  # type: ignore[assignment] # absent on the wire


class Source(model.Source, frozen=True):
    """An item (`item`, `version`, `quantity`) or an override (`override`, `mode`) that contributed, and its value.

    `subscription`: which one it belongs to; empty for an override on the customer. `add`: the value was added to the
    others. `per`: `unit` or `subscription` if the author wrote so. `limit`: `hard` or `soft` if the author wrote so.
    """

    item: str = ""
    override: str = ""
    mode: str = ""
    subscription: str = ""
    per: str = ""
    limit: str = ""


class Answer(DecisionDocument, frozen=True, kw_only=True):
    """A decision. `valid_until`: the next instant at which it may change by itself.

    `resets_at`: the end of the window of usage, if the feature is metered and its window ends.
    `status`: how well the feature works: `operational`, `maintenance`, `degraded`, `partial` or `down`; `since`: since
    when, if it is not operational.
    `decision_id` names it in the decision log, for `tiergate replay`; empty in a list. `scale`: the most decimal digits
    of the feature's numbers; only in a list, for quantities and ranges. Before a sidecar has a catalog, `type` is empty
    and `publication` 0.
    """

    type: str = ""
    entitlement: Entitlement
    sources: tuple[Source, ...] = ()
    policies: tuple[str, ...] = ()
    publication: int = 0
    revision: str = ""
    valid_until: datetime | None = None  # type: ignore[assignment] # RFC 3339 on the wire
    resets_at: datetime | None = None  # type: ignore[assignment] # RFC 3339 on the wire
    status: str = "operational"
    since: datetime | None = None  # type: ignore[assignment] # RFC 3339 on the wire
    stale: bool = False
    decision_id: str = ""
    scale: int | None = None

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a check is answered as it is.

    `sentences`: for people, the answer first. `reasoning`: the same as data, all members of the sidecar's answer.
    """

    answer: Answer
    sentences: tuple[str, ...]
    reasoning: Mapping[str, object]


class _Explained(msgspec.Struct):
    decision: Answer
    sentences: tuple[str, ...]


def read_json(body: bytes | str) -> object:
    """Read JSON with exact numbers."""
    try:
        return json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the body is not JSON: {error}") from None


def read_answer(decision: object, decision_id: str = "") -> Answer:
    """Convert the result of `read_json` to an answer; `decision_id` came beside it."""
    answer = convert(decision, Answer)
    value = answer.entitlement.value
    if value is not None and not isinstance(value, bool | int | Decimal | str):
        raise ValueError("the body is not as documented: `value` must be a boolean, a number or a text")
    return msgspec.structs.replace(answer, decision_id=decision_id)


def read_explanation(explained: object) -> Explanation:
    """Convert the result of `read_json` to an explanation."""
    known = convert(explained, _Explained)
    members = convert(explained, dict[str, object])
    return Explanation(answer=read_answer(members["decision"]), sentences=known.sentences, reasoning=members)


def convert(value: object, form: type[T]) -> T:
    """Convert the result of `read_json` to a type; raises `ValueError` if it does not fit."""
    try:
        return msgspec.convert(value, form)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f"the body is not as documented: {error}") from None
