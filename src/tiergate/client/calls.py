"""Requests to a sidecar as values, and how their responses are read: the same for threads and for asyncio.

A request is made before anything is sent, so that a mistake of the caller costs no request.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

from tiergate.client.answers import Answer, Explanation, read_answer, read_explanation, read_json
from tiergate.client.check_arguments import check_json, checked, expect_offset, feature_text, make_check, make_subject
from tiergate.client.outcomes import OutcomeMinute, read_minutes, read_replayed
from tiergate.client.response_reading import caller_error, is_about, listed, members
from tiergate.client.usage import (
    Consumption,
    FeatureUsage,
    RecordedUsage,
    ReservationMade,
    read_consumption,
    read_recorded,
    read_reservation,
    read_usage,
)
from tiergate.errors import CallerError, CheckError, RequestError
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from tiergate.client.check_arguments import Quantity, SubjectArgument
    from tiergate.client.http_response import Response
    from tiergate.model import Check, Subject

_OK: Final = 200
_SERVER_ERROR: Final = 500
_NOT_IMPLEMENTED: Final = 501
_DECISION_ID: Final = "tiergate-decision-id"
_TEXT: Final = re.compile(r"[!-~]+(?: +[!-~]+)*")

T = TypeVar("T")
Outcome: TypeAlias = "Mapping[str, object]"


class CheckOptions(TypedDict, total=False):
    """The options of `Sidecar.check`, for what passes them on."""

    amount: Quantity | None
    used: Quantity | None
    user_used: Quantity | None
    value: Quantity | None
    level: str | None
    request_id: str | None
    traceparent: str | None


def expect_options(options: CheckOptions) -> None:
    """Raise `TypeError` if there is another option: without it the check would be about less than was asked."""
    if unknown := options.keys() - CheckOptions.__annotations__.keys():
        raise TypeError(f"unexpected argument `{min(unknown)}`")


class UndecidedError(Exception):
    """The sidecar cannot decide now, and says why."""


class MisledError(ValueError):
    """The response belongs to another request: the connections may be shifted."""

    def __init__(self) -> None:
        super().__init__("the response belongs to another request")


class Call(NamedTuple, Generic[T]):
    """A request, and what reads its response: raises `ValueError` if that is not as documented."""

    method: str
    target: str
    body: bytes | None
    headers: dict[str, str]
    feature: str
    read: Callable[[Response], T]

    def result(self, response: Response) -> T:
        """Read the response.

        Raises:
            CallerError: the sidecar refuses the request.
            UndecidedError: it cannot decide now.
            ValueError: the response is not as documented.
        """
        if response.status == _OK:
            return self.read(response)
        problem = members(read_json(response.body))
        if response.status >= _SERVER_ERROR and response.status != _NOT_IMPLEMENTED:
            raise UndecidedError(str(problem.get("detail", "cannot decide")))
        raise caller_error(problem, self.feature)


def check_call(subject: SubjectArgument, feature: str, options: CheckOptions) -> Call[Answer]:
    """One check."""
    check = make_check(subject, feature, _fields(options))
    return _post("/v1/check", check_json(check), check.feature, _trace(options), partial(_answer, check.feature))


def raw_check_call(check: Check) -> Call[bytes]:
    """One check, of which the answer's JSON is wanted as the sidecar wrote it."""
    return _post("/v1/check", check_json(checked(check, "")), check.feature, {}, lambda response: response.body)


def checks_call(checks: Sequence[Check], options: CheckOptions) -> Call[list[Answer | CallerError]]:
    """Several checks at once."""
    asked = [checked(check, f"/checks/{place}") for place, check in enumerate(checks)]
    body = {"checks": [check_json(check) for check in asked]}
    return _post("/v1/checks", body, "", _trace(options), partial(_answers, [check.feature for check in asked]))


def explain_call(
    subject: SubjectArgument, feature: str, at: datetime | None, options: CheckOptions
) -> Call[Explanation]:
    """Why a check is answered as it is, or would be at another moment."""
    moment = _at(at)
    check = make_check(subject, feature, _fields(options))
    body = check_json(check) | moment

    def read(response: Response) -> Explanation:
        explanation = read_explanation(read_json(response.body))
        _expect(explanation.answer, check.feature)
        return explanation

    return _post("/v1/explain", body, check.feature, _trace(options), read)


def entitlements_call(subject: SubjectArgument, features: Sequence[str], options: CheckOptions) -> Call[list[Answer]]:
    """The entitlements of a subject."""
    whom = make_subject(subject)
    query = _subject_query(whom) | ({"feature": ",".join(features)} if features else {})

    def read(response: Response) -> list[Answer]:
        listing = read_json(response.body)
        _expect_about(listing, whom)
        return [read_answer(answer) for answer in listed(listing, "entitlements")]

    return Call("GET", f"/v1/entitlements?{urlencode(query)}", None, _trace(options), ",".join(features), read)


def consume_call(subject: SubjectArgument, feature: str, key: str | None, options: CheckOptions) -> Call[Consumption]:
    """A consumption."""
    check = make_check(subject, feature, _fields(options))

    def read(response: Response) -> Consumption:
        found = read_consumption(read_json(response.body), response.headers.get(_DECISION_ID, ""))
        _expect(found.answer, check.feature)
        return found

    return _post("/v1/consume", check_json(check) | {"key": _key(key)}, check.feature, _trace(options), read)


def reserve_call(
    subject: SubjectArgument, feature: str, expires_in: int | None, key: str | None, options: CheckOptions
) -> Call[ReservationMade]:
    """A reservation."""
    check = make_check(subject, feature, _fields(options))
    body = check_json(check) | {"key": _key(key)} | ({} if expires_in is None else {"expires_in": expires_in})

    def read(response: Response) -> ReservationMade:
        found = read_reservation(read_json(response.body), response.headers.get(_DECISION_ID, ""))
        _expect(found.answer, check.feature)
        return found

    return _post("/v1/reserve", body, check.feature, _trace(options), read)


def end_call(id_: str, verb: Literal["commit", "release"], amount: Quantity | None) -> Call[None]:
    """The end of a reservation. Raises `CheckError` if it was denied, so that it has no id."""
    if not id_:
        raise CheckError("/reservation", "is empty: a reservation that is denied cannot end")
    number = make_check("any", "any", {"amount": amount}).amount
    body = {} if number is None else {"amount": number}
    return _post(f"/v1/reservations/{quote(id_, safe='')}/{verb}", body, "", {}, lambda _: None)


def report_call(
    subject: SubjectArgument, feature: str, amount: Quantity | None, at: datetime | None, key: str | None
) -> Call[RecordedUsage]:
    """Usage that has happened."""
    check = make_check(subject, feature, {"amount": amount})
    body = check_json(check) | {"key": _key(key)} | _at(at)
    return _post("/v1/usage", body, check.feature, {}, lambda response: read_recorded(read_json(response.body)))


def usage_call(subject: SubjectArgument, feature: str | None) -> Call[list[FeatureUsage]]:
    """What a subject has used."""
    whom = make_subject(subject)
    query = _subject_query(whom) | ({} if feature is None else {"feature": feature_text(feature)})

    def read(response: Response) -> list[FeatureUsage]:
        listing = read_json(response.body)
        _expect_about(listing, whom)
        return read_usage(listing)

    return Call("GET", f"/v1/usage?{urlencode(query)}", None, {}, feature or "", read)


def outcome_body(
    feature: object, *, ok: bool, duration_ms: float | None, at: datetime | None, id_: str | None
) -> Outcome:
    """One outcome, as it is sent."""
    # Nothing is raised here: what is no text is refused by the sidecar.
    name = feature_text(feature) if isinstance(feature, str) else feature
    body: dict[str, object] = {"feature": name, "ok": ok} | _at(at)
    if duration_ms is not None:
        body["duration_ms"] = max(0.0, round(duration_ms, 3))
    return body if id_ is None else body | {"id": id_}


def outcome_call(outcome: Outcome) -> Call[bool]:
    """One outcome; the result: whether its id was counted before."""
    feature = str(outcome["feature"])
    return _post("/v1/outcomes", outcome, feature, {}, lambda response: read_replayed(read_json(response.body)))


def send_outcomes_call(outcomes: Sequence[Outcome]) -> Call[list[CallerError]]:
    """Several outcomes; the result: what is wrong with some of them."""

    def read(response: Response) -> list[CallerError]:
        found = map(members, listed(read_json(response.body), "results"))
        both = zip(outcomes, found, strict=True)
        return [caller_error(result, str(it["feature"])) for it, result in both if "replayed" not in result]

    return _post("/v1/outcomes", {"outcomes": outcomes}, "", {}, read)


def outcomes_call(feature: str, since: datetime | None) -> Call[list[OutcomeMinute]]:
    """What was reported of a feature."""
    query = {"feature": feature_text(feature)} | ({} if since is None else {"from": _at(since)["at"]})
    target = f"/v1/outcomes?{urlencode(query)}"
    return Call("GET", target, None, {}, feature, lambda response: read_minutes(read_json(response.body)))


def _post(
    path: str, body: Mapping[str, object], feature: str, trace: dict[str, str], read: Callable[[Response], T]
) -> Call[T]:
    try:
        return Call("POST", path, encode(body), {"content-type": "application/json", **trace}, feature, read)
    except UnicodeEncodeError:
        raise RequestError(400, "malformed text", "the check holds half of a surrogate pair") from None


def _answer(feature: str, response: Response) -> Answer:
    answer = read_answer(read_json(response.body), response.headers.get(_DECISION_ID, ""))
    return _expect(answer, feature)


def _answers(features: Sequence[str], response: Response) -> list[Answer | CallerError]:
    results = listed(read_json(response.body), "results")
    id_ = response.headers.get(_DECISION_ID, "")
    return [
        _expect(read_answer(result, f"{id_}.{place}" if id_ else ""), feature)
        if "allowed" in members(result)
        else caller_error(members(result), feature)
        for place, (feature, result) in enumerate(zip(features, results, strict=True))
    ]


def _expect(answer: Answer, feature: str) -> Answer:
    if answer.feature != feature:
        raise MisledError
    return answer


def _expect_about(listing: object, subject: Subject) -> None:
    if not is_about(members(listing).get("subject"), subject):
        raise MisledError


def _subject_query(subject: Subject) -> dict[str, str]:
    return {"subject": subject.id, "type": subject.type.value} | ({"user": subject.user} if subject.user else {})


def _fields(options: CheckOptions) -> dict[str, Quantity | str | None]:
    expect_options(options)
    return {
        "amount": options.get("amount"),
        "used": options.get("used"),
        "user_used": options.get("user_used"),
        "value": options.get("value"),
        "level": options.get("level"),
    }


def _at(at: datetime | None) -> dict[str, str]:
    """Return the member of a moment, which must have an offset."""
    if at is None:
        return {}
    expect_offset(at)
    return {"at": at.isoformat()}


def _key(key: str | None) -> str:
    return uuid4().hex if key is None else key


def _trace(options: CheckOptions) -> dict[str, str]:
    """Return the headers that identify the request in logs and traces, without invalid values."""
    given = {"x-request-id": options.get("request_id"), "traceparent": options.get("traceparent")}
    return {name: text for name, text in given.items() if isinstance(text, str) and _TEXT.fullmatch(text)}
