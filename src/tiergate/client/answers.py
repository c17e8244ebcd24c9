"""The sidecar's answers as values (design, section 5).

Numbers are exact: an `int` where the answer has no decimal digits, else a :class:`~decimal.Decimal`. Members that this
version does not know are left out, so that a newer sidecar can say more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

Number = int | Decimal
"""An exact number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """What the subject holds, whatever was decided.

    `value`: true or false for a switch, the level's label or `None` for a custom feature, a number else; `None` where
    `unlimited`. `used` and `remaining`: of a quantity; `remaining` is `None` where `unlimited`.
    """

    value: bool | Number | str | None = None
    unlimited: bool = False
    unit: str = ""
    used: Number | None = None
    remaining: Number | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An item (`item`, `version`, `quantity`) or an override (`override`, `mode`) that contributed, and its value.

    `subscription`: through which one; empty for an override on the customer. `add`: the value came on top of the
    others. `per`: `unit` or `subscription` where the author said so.
    """

    item: str = ""
    version: int | None = None
    quantity: int | None = None
    override: str = ""
    mode: str = ""
    subscription: str = ""
    value: bool | Number | str | None = None
    unlimited: bool = False
    add: bool = False
    per: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A decision: whether, why, and by what. `valid_until`: the next instant at which it may change by itself.

    `decision_id` names it in the decision log, for `tiergate replay`; empty where the sidecar gave none, as in a list.
    `scale`: how many decimal digits the feature's numbers may have, in a list, of quantities and ranges.
    Of a sidecar that was told to answer before it had anything to decide by, `type` is empty and `publication` 0.
    """

    allowed: bool
    reason: str
    feature: str
    type: str
    entitlement: Entitlement
    sources: tuple[Source, ...] = ()
    policies: tuple[str, ...] = ()
    publication: int = 0
    revision: str = ""
    valid_until: datetime | None = None
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


def read_json(body: bytes | str) -> object:
    """Read JSON with exact numbers.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        parsed: object = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise ValueError(f"what it says is no JSON: {error}") from None
    return parsed


def read_answer(decision: object, decision_id: str = "") -> Answer:
    """Make an answer of what `read_json` read; `decision_id` came beside it.

    Raises:
        ValueError: it is no decision.
    """
    members = _mapping(decision)
    entitlement = _mapping(members.get("entitlement"))
    sources = members.get("sources", [])
    policies = members.get("policies", [])
    if not isinstance(sources, list) or not isinstance(policies, list):
        raise ValueError("what it says has no lists of sources and policies")
    until = members.get("valid_until")
    return Answer(
        allowed=_take(members, "allowed", bool),
        reason=_take(members, "reason", str),
        feature=_take(members, "feature", str),
        type=_take(members, "type", str, default=""),
        entitlement=Entitlement(
            value=_value(entitlement),
            unlimited=_take(entitlement, "unlimited", bool, default=False),
            unit=_take(entitlement, "unit", str, default=""),
            used=_number(entitlement, "used"),
            remaining=_number(entitlement, "remaining"),
        ),
        sources=tuple(_source(_mapping(source)) for source in sources),
        policies=tuple(str(policy) for policy in policies),
        publication=_take(members, "publication", int, default=0),
        revision=_take(members, "revision", str, default=""),
        valid_until=datetime.fromisoformat(until) if isinstance(until, str) else None,
        stale=_take(members, "stale", bool, default=False),
        decision_id=decision_id,
        scale=_integer(members, "scale"),
    )


def read_explanation(explained: object) -> Explanation:
    """Make an explanation of what `read_json` read.

    Raises:
        ValueError: it is none.
    """
    members = _mapping(explained)
    sentences = members.get("sentences")
    if not isinstance(sentences, list):
        raise ValueError("what it says has no list of sentences")
    return Explanation(
        answer=read_answer(members.get("decision")), sentences=tuple(map(str, sentences)), reasoning=members
    )


def _source(members: Mapping[str, object]) -> Source:
    return Source(
        item=_take(members, "item", str, default=""),
        version=_integer(members, "version"),
        quantity=_integer(members, "quantity"),
        override=_take(members, "override", str, default=""),
        mode=_take(members, "mode", str, default=""),
        subscription=_take(members, "subscription", str, default=""),
        value=_value(members),
        unlimited=_take(members, "unlimited", bool, default=False),
        add=_take(members, "add", bool, default=False),
        per=_take(members, "per", str, default=""),
    )


def _take(members: Mapping[str, object], name: str, kind: type[T], *, default: T | None = None) -> T:
    value = members.get(name, default)
    if not isinstance(value, kind):
        raise ValueError(f"its `{name}` is not as documented")
    return value


def _value(members: Mapping[str, object]) -> bool | Number | str | None:
    value = members.get("value")
    if value is None or isinstance(value, bool | int | Decimal | str):
        return value
    raise ValueError("its `value` is not as documented")


def _number(members: Mapping[str, object], name: str) -> Number | None:
    value = members.get(name)
    if value is None or (isinstance(value, int | Decimal) and not isinstance(value, bool)):
        return value
    raise ValueError(f"its `{name}` is not as documented")


def _integer(members: Mapping[str, object], name: str) -> int | None:
    return _take(members, name, int) if name in members else None


def _mapping(value: object) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    raise ValueError("what it says is no decision")
