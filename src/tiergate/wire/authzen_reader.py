"""Reads the requests of AuthZEN's Authorization API 1.0: who may do what with what.

Unknown members are ignored, as that specification demands, though our own API refuses them. A body that is not a JSON
object is a `RequestError`; a member that is missing or of a wrong type is a `CheckError` with a pointer to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.errors import CheckError
from tiergate.model import Check, FeatureType, Subject
from tiergate.text_normalization import to_nfc
from tiergate.wire.check import FIELDS_OF, MAX_CHECKS
from tiergate.wire.strict_reader import (
    JsonObject,
    escape_pointer,
    kind_of,
    malformed_json,
    number_field,
    parse_json,
    string_field,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

EXECUTE_ALL: Final = "execute_all"
DENY_ON_FIRST_DENY: Final = "deny_on_first_deny"
PERMIT_ON_FIRST_PERMIT: Final = "permit_on_first_permit"
SEMANTICS: Final = (EXECUTE_ALL, DENY_ON_FIRST_DENY, PERMIT_ON_FIRST_PERMIT)

SUBJECT: Final = "subject"
ACTION: Final = "action"
RESOURCE: Final = "resource"
_CONTEXT: Final = "context"
_PARTS: Final = (SUBJECT, ACTION, RESOURCE, _CONTEXT)
_NUMBERS: Final = ("amount", "used", "user_used", "value")
_LEVEL: Final = "level"

MAX_PAGE: Final = 1_000
"""The most results of one page of a search, and how many there are if the request does not say."""


class Entity(NamedTuple):
    """A subject or resource. `id` is empty for the one that a search looks for. `at`: a pointer to it."""

    type: str
    id: str
    properties: Mapping[str, object]
    at: str


class Question(NamedTuple):
    """One evaluation. `action` is empty in a search for actions. `at`: a pointer to it in the body."""

    subject: Entity
    action: str
    action_properties: Mapping[str, object]
    resource: Entity
    context: Mapping[str, object]
    action_at: str
    context_at: str

    def check(self, subject: Subject, kind: FeatureType | None) -> Check:
        """Return the check of a feature of a type, with the members that fit it. Raises `CheckError`.

        They stand in the properties of the action, else in those of the resource, else in the context. `kind`: none as
        long as no catalog says it; then none counts.
        """
        names = frozenset[str]() if kind is None else FIELDS_OF[kind]
        given: dict[str, tuple[object, str]] = {}
        for at, members in (
            (self.context_at, self.context),
            (f"{self.resource.at}/properties", self.resource.properties),
            (f"{self.action_at}/properties", self.action_properties),
        ):
            given |= {name: (members[name], f"{at}/{name}") for name in names if members.get(name) is not None}
        if not given:
            return Check(subject, self.resource.id)
        amount, used, user_used, value = (number_field(*given[name]) if name in given else None for name in _NUMBERS)
        level = to_nfc(string_field(*given[_LEVEL])) if _LEVEL in given else None
        return Check(subject, self.resource.id, amount, used, user_used, value, level)


class Batch(NamedTuple):
    """Several evaluations: each a question, or what is wrong with it."""

    semantic: str
    questions: list[Question | CheckError]


class Search(NamedTuple):
    """A search for what the question lacks. `limit`: results of a page, none if not given; `token`: where it begins."""

    question: Question
    limit: int | None
    token: str


def read_question(body: bytes) -> Question:
    """Read the body of an evaluation."""
    return _question(_object_of(body), {}, "", ())


def read_evaluations(body: bytes) -> Question | Batch:
    """Read the body of several evaluations; without any, it is one evaluation."""
    whole = _object_of(body)
    listed = whole.get("evaluations")
    if listed is None or listed == []:
        return _question(whole, {}, "", ())
    if not isinstance(listed, list):
        raise CheckError("/evaluations", f"must be a list, not {kind_of(listed)}")
    if len(listed) > MAX_CHECKS:
        raise CheckError("/evaluations", f"must have at most {MAX_CHECKS} evaluations, not {len(listed)}")
    options = _member(whole, "options", "") if whole.get("options") is not None else JsonObject([])
    semantic = options.get("evaluations_semantic")
    if semantic is None:
        semantic = EXECUTE_ALL
    if semantic not in SEMANTICS:
        raise CheckError("/options/evaluations_semantic", f"must be one of {', '.join(f'`{it}`' for it in SEMANTICS)}")
    defaults = {name: whole[name] for name in _PARTS if whole.get(name) is not None}
    for name, value in defaults.items():
        if not isinstance(value, JsonObject):
            raise CheckError(f"/{name}", f"must be an object, not {kind_of(value)}")
    questions: list[Question | CheckError] = []
    for place, item in enumerate(listed):
        try:
            if not isinstance(item, JsonObject):
                raise CheckError(f"/evaluations/{place}", f"must be an object, not {kind_of(item)}")
            questions.append(_question(item, defaults, f"/evaluations/{place}", ()))
        except CheckError as error:
            questions.append(error)
    return Batch(str(semantic), questions)


def read_search(body: bytes, target: str) -> Search:
    """Read the body of a search for `SUBJECT`, `RESOURCE` or `ACTION`."""
    whole = _object_of(body)
    page = _member(whole, "page", "") if whole.get("page") is not None else JsonObject([])
    limit, token = page.get("limit"), page.get("token")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise CheckError("/page/limit", "must be a whole number, and not negative")
    if token is not None and not isinstance(token, str):
        raise CheckError("/page/token", f"must be a string, not {kind_of(token)}")
    return Search(_question(whole, {}, "", (target,)), limit, token or "")


def _object_of(body: bytes) -> JsonObject:
    whole = parse_json(body)
    if not isinstance(whole, JsonObject):
        raise malformed_json(f"the body must be an object, not {kind_of(whole)}")
    _expect_no_repeats(whole, "")
    return whole


def _question(given: JsonObject, defaults: Mapping[str, object], at: str, targets: tuple[str, ...]) -> Question:
    """Read an evaluation. A member that it lacks is the default's as a whole. `targets`: what is looked for."""
    _expect_no_repeats(given, at)
    whole = JsonObject([])
    places = dict.fromkeys(_PARTS, at)
    for name in _PARTS:
        if given.get(name) is not None:
            whole[name] = given[name]
        elif name in defaults:
            whole[name], places[name] = defaults[name], ""
    subject = _entity(whole, SUBJECT, places[SUBJECT], has_id=SUBJECT not in targets)
    action, action_properties = "", JsonObject([])
    if ACTION not in targets:
        member = _member(whole, ACTION, places[ACTION])
        action_at = f"{places[ACTION]}/{ACTION}"
        action, action_properties = _text(member, "name", action_at), _properties(member, action_at)
    resource = _entity(whole, RESOURCE, places[RESOURCE], has_id=RESOURCE not in targets)
    context = _member(whole, _CONTEXT, places[_CONTEXT]) if _CONTEXT in whole else JsonObject([])
    return Question(
        subject,
        action,
        action_properties,
        resource,
        context,
        f"{places[ACTION]}/{ACTION}",
        f"{places[_CONTEXT]}/{_CONTEXT}",
    )


def _entity(whole: Mapping[str, object], name: str, at: str, *, has_id: bool) -> Entity:
    member = _member(whole, name, at)
    at = f"{at}/{name}"
    id_ = to_nfc(_text(member, "id", at)) if has_id else ""
    return Entity(_text(member, "type", at), id_, _properties(member, at), at)


def _properties(member: JsonObject, at: str) -> JsonObject:
    return _member(member, "properties", at) if member.get("properties") is not None else JsonObject([])


def _member(whole: Mapping[str, object], name: str, at: str) -> JsonObject:
    value = whole.get(name)
    if value is None:
        raise CheckError(f"{at}/{name}", "is required")
    if not isinstance(value, JsonObject):
        raise CheckError(f"{at}/{name}", f"must be an object, not {kind_of(value)}")
    _expect_no_repeats(value, f"{at}/{name}")
    return value


def _text(member: JsonObject, name: str, at: str) -> str:
    if member.get(name) is None:
        raise CheckError(f"{at}/{name}", "is required")
    return string_field(member[name], f"{at}/{name}")


def _expect_no_repeats(value: JsonObject, at: str) -> None:
    if value.repeated is not None:
        raise CheckError(f"{at}/{escape_pointer(value.repeated)}", "is given twice")
