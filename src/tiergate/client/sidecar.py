"""A sidecar as an object: checks, entitlements and explanations; consumptions and usage, where the sidecar counts it.

`allows` always returns a boolean. A denial and a failure are never confused: a denial is an `Answer`, a failure is a
`SidecarUnreachableError`, or the `otherwise` of `allows`. An answer to another request counts as a failure.
"""

from __future__ import annotations

import itertools
import logging
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypedDict, TypeVar, Unpack
from urllib.parse import quote, urlencode
from uuid import uuid4

from tiergate.client.answers import Answer, Explanation, read_answer, read_explanation, read_json
from tiergate.client.check_arguments import check_json, checked, make_check, make_subject
from tiergate.client.connections import Connections
from tiergate.client.outcomes import OutcomeMeasure, OutcomeSender, read_minutes, read_replayed
from tiergate.client.response_reading import caller_error, is_about, listed, members
from tiergate.client.tokens import FileToken, FixedToken
from tiergate.client.usage import read_consumption, read_recorded, read_reservation, read_usage
from tiergate.errors import (
    CallerError,
    CheckError,
    RequestError,
    SettingsError,
    SidecarUnreachableError,
)
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from tiergate.client.check_arguments import Quantity, SubjectArgument
    from tiergate.client.http_response import Response
    from tiergate.client.outcomes import MeasuredOutcome, OutcomeMinute
    from tiergate.client.usage import Consumption, FeatureUsage, RecordedUsage, Reservation
    from tiergate.model import Check

DEFAULT_URL = "http://127.0.0.1:8437"
"""The default address of a sidecar."""

_OK = 200
_SERVER_ERROR = 500
_NOT_IMPLEMENTED = 501
_DECISION_ID = "tiergate-decision-id"
_TEXT = re.compile(r"[!-~]+(?: +[!-~]+)*")
_LOGGED_EVERY = 60.0

_logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Exception)


class CheckOptions(TypedDict, total=False):
    """The options of `Sidecar.check`, for what passes them on."""

    amount: Quantity | None
    used: Quantity | None
    user_used: Quantity | None
    value: Quantity | None
    level: str | None
    request_id: str | None
    traceparent: str | None


class Sidecar:
    """A client of one sidecar. Safe to use from several threads and after a fork; connections are kept alive.

    `no_answers`: the number of failures so far.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        token_file: str | Path | None = None,
        timeout: float = 1.0,
        ca_file: str | Path | None = None,
        on_no_answer: Callable[[SidecarUnreachableError], object] | None = None,
        on_mistake: Callable[[CallerError], object] | None = None,
    ) -> None:
        """Prepare; nothing is sent yet.

        `url`: `http://host:port`, `https://host:port` or `unix:/path`. `token`: what the sidecar's token file holds, if
        it has one; `token_file`: a file whose first line it is, which is read again when it changes. `timeout`: seconds
        for a call, from its beginning to the last byte of the answer. `ca_file`: the certificates, in PEM, that verify
        an `https:` URL, instead of the system's. `on_no_answer`: called with the error of each call that gets no
        answer, before `allows` gives its `otherwise`; for a metric. `on_mistake`: with it, `allows` gives its
        `otherwise` for a mistake in the question, too, and calls this with the error; without it, `allows` raises it.

        Raises:
            SettingsError: `url` is none of these, the token or `ca_file` is unusable, or both tokens are given.
        """
        self._connections = Connections(url, timeout, None if ca_file is None else str(ca_file))
        if token is not None and token_file is not None:
            raise SettingsError("token_file", "stands in place of `token`: give one of them")
        self._token: FixedToken | FileToken | None = FixedToken(token) if token is not None else None
        if token_file is not None:
            self._token = FileToken(Path(token_file))
        self._on_no_answer = on_no_answer
        self._on_mistake = on_mistake
        self._counter = itertools.count(1)
        self._logged_at = -_LOGGED_EVERY
        self.no_answers = 0
        self._outcomes = OutcomeSender(self._send_outcomes)

    def check(  # noqa: PLR0913 - one for each field
        self,
        subject: SubjectArgument,
        feature: str,
        *,
        amount: Quantity | None = None,
        used: Quantity | None = None,
        user_used: Quantity | None = None,
        value: Quantity | None = None,
        level: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Answer:
        """Ask whether a subject may use a feature. A customer's id will do for the subject: text, a number or a UUID.

        A quantity that is not metered counts `used` as 0 where it is left out: give it. `request_id` and `traceparent`
        go to the decision log; one that cannot stand in a header is left out.

        Raises:
            SidecarUnreachableError: nobody answers in time, or the sidecar cannot decide yet.
            UnknownFeatureError: the catalog has no such feature.
            CheckError: a field of the check is wrong.
            RequestError: the request is refused as a whole.
        """
        fields = {"amount": amount, "used": used, "user_used": user_used, "value": value, "level": level}
        check = make_check(subject, feature, fields)
        with self._asking():
            response = self._post("/v1/check", check_json(check), check.feature, _trace(request_id, traceparent))
            answer = read_answer(read_json(response.body), response.headers.get(_DECISION_ID, ""))
            return self._expected(answer, check.feature)

    def ask(self, check: Check) -> bytes:
        """Ask as `check` does; give the answer's JSON as the sidecar wrote it."""
        with self._asking():
            return self._post("/v1/check", check_json(checked(check, "")), check.feature).body

    def allows(
        self, subject: SubjectArgument, feature: str, *, otherwise: bool, **options: Unpack[CheckOptions]
    ) -> bool:
        """Ask as `check` does; return `otherwise` if the sidecar cannot be reached or cannot decide.

        `otherwise` has no default: whether a feature fails open or closed is the service's decision. Each time that it
        is given, `on_no_answer` is called and `no_answers` counts.

        Raises:
            UnknownFeatureError, CheckError, RequestError: as `check`; they are mistakes, which no default mends, unless
                the client has `on_mistake`.
        """
        try:
            return self.check(subject, feature, **options).allowed
        except SidecarUnreachableError:
            return otherwise
        except CallerError as error:
            if self._on_mistake is None:
                raise
            _call(self._on_mistake, error)
            return otherwise

    def checks(
        self, checks: Sequence[Check], *, request_id: str | None = None, traceparent: str | None = None
    ) -> list[Answer | CallerError]:
        """Ask up to 1,000 checks at once. Answers come in the same order; a wrong check's place holds its error.

        Raises:
            SidecarUnreachableError, RequestError: as `check`.
            CheckError: something among the checks is none.
        """
        asked = [checked(check, f"/checks/{place}") for place, check in enumerate(checks)]
        body = {"checks": [check_json(check) for check in asked]}
        with self._asking():
            response = self._post("/v1/checks", body, trace=_trace(request_id, traceparent))
            results = listed(read_json(response.body), "results")
            id_ = response.headers.get(_DECISION_ID, "")
            return [
                self._expected(read_answer(result, f"{id_}.{place}" if id_ else ""), check.feature)
                if "allowed" in members(result)
                else caller_error(members(result), check.feature)
                for place, (check, result) in enumerate(zip(asked, results, strict=True))
            ]

    def explain(  # noqa: PLR0913 - as `check`
        self,
        subject: SubjectArgument,
        feature: str,
        *,
        amount: Quantity | None = None,
        used: Quantity | None = None,
        user_used: Quantity | None = None,
        value: Quantity | None = None,
        level: str | None = None,
        at: datetime | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Explanation:
        """Ask why `check` answers as it does, or would `at` another moment (with an offset). Takes milliseconds."""
        moment = _at(at)
        fields = {"amount": amount, "used": used, "user_used": user_used, "value": value, "level": level}
        check = make_check(subject, feature, fields)
        body = check_json(check) | moment
        with self._asking():
            response = self._post("/v1/explain", body, check.feature, _trace(request_id, traceparent))
            explanation = read_explanation(read_json(response.body))
            self._expected(explanation.answer, check.feature)
            return explanation

    def entitlements(
        self,
        subject: SubjectArgument,
        *,
        features: Sequence[str] = (),
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> list[Answer]:
        """Return one answer for each feature of the catalog, or each of `features`, in the order of their ids."""
        whom = make_subject(subject)
        query = {"subject": whom.id, "type": whom.type.value} | ({"user": whom.user} if whom.user else {})
        if features:
            query["feature"] = ",".join(features)
        with self._asking():
            target = f"/v1/entitlements?{urlencode(query)}"
            headers = self._headers() | _trace(request_id, traceparent)
            response = self._read(self._connections.request("GET", target, None, headers), ",".join(features))
            listing = read_json(response.body)
            if not is_about(members(listing).get("subject"), whom):
                raise self._misled()
            return [read_answer(answer) for answer in listed(listing, "entitlements")]

    def consume(
        self,
        subject: SubjectArgument,
        feature: str,
        *,
        amount: Quantity | None = None,
        key: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Consumption:
        """Check a metered feature, and count the amount if it is allowed: by default one unit.

        `key`: the idempotency key. With the same key and content it counts once, so a call that failed can be repeated
        with its key. Without one this makes one for the call.

        Raises:
            SidecarUnreachableError: nobody answers in time, or nothing can be written; it may have been counted.
            UnknownFeatureError, CheckError: as `check`; or the feature is not metered.
            RequestError: the key was used for other content, or the sidecar counts no usage.
        """
        check = make_check(subject, feature, {"amount": amount})
        body = check_json(check) | {"key": _key(key)}
        with self._asking():
            response = self._post("/v1/consume", body, check.feature, _trace(request_id, traceparent))
            found = read_consumption(read_json(response.body), response.headers.get(_DECISION_ID, ""))
            self._expected(found.answer, check.feature)
            return found

    def reserve(
        self,
        subject: SubjectArgument,
        feature: str,
        *,
        amount: Quantity | None = None,
        expires_in: int | None = None,
        key: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Reservation:
        """Check a metered feature, and set the amount aside if it is allowed. Use it in a `with` block.

        `expires_in`: seconds until it is given back by itself, by default 600. `key` and errors are as in `consume`.
        """
        check = make_check(subject, feature, {"amount": amount})
        body = check_json(check) | {"key": _key(key)} | ({} if expires_in is None else {"expires_in": expires_in})
        with self._asking():
            response = self._post("/v1/reserve", body, check.feature, _trace(request_id, traceparent))
            found = read_reservation(self, read_json(response.body), response.headers.get(_DECISION_ID, ""))
            self._expected(found.answer, check.feature)
            return found

    def end_reservation(self, id_: str, verb: Literal["commit", "release"], amount: Quantity | None) -> None:
        """Commit or release a reservation by its id, as in another process than the one that made it."""
        number = make_check("any", "any", {"amount": amount}).amount
        body = {} if number is None else {"amount": number}
        with self._asking():
            self._post(f"/v1/reservations/{quote(id_, safe='')}/{verb}", body)

    def report_usage(
        self,
        subject: SubjectArgument,
        feature: str,
        *,
        amount: Quantity | None = None,
        at: datetime | None = None,
        key: str | None = None,
    ) -> RecordedUsage:
        """Count usage that has happened, now or `at` an earlier moment (with an offset); it may exceed the limit.

        `key` and errors are as in `consume`; a `RequestError` also if the moment's window is closed, and if the subject
        is unknown.
        """
        check = make_check(subject, feature, {"amount": amount})
        body = check_json(check) | {"key": _key(key)} | _at(at)
        with self._asking():
            return read_recorded(read_json(self._post("/v1/usage", body, check.feature).body))

    def usage(self, subject: SubjectArgument, feature: str | None = None) -> list[FeatureUsage]:
        """Return what a subject has used of one metered feature, or of all, in their current windows.

        Raises:
            SidecarUnreachableError: nobody answers in time.
            UnknownFeatureError, CheckError: the feature is unknown, or not metered.
            RequestError: the subject is unknown, or the sidecar counts no usage.
        """
        whom = make_subject(subject)
        query = {"subject": whom.id, "type": whom.type.value} | ({"user": whom.user} if whom.user else {})
        query |= {} if feature is None else {"feature": feature}
        with self._asking():
            target = f"/v1/usage?{urlencode(query)}"
            response = self._read(self._connections.request("GET", target, None, self._headers()), feature or "")
            listing = read_json(response.body)
            if not is_about(members(listing).get("subject"), whom):
                raise self._misled()
            return read_usage(listing)

    def outcome(
        self,
        feature: str,
        *,
        ok: bool,
        duration_ms: float | None = None,
        at: datetime | None = None,
        id: str | None = None,
        wait: bool = False,
    ) -> bool | None:
        """Report how a request to a feature went. It is sent soon, with others, and nothing is raised.

        `wait`: send it alone and now instead, raise what is wrong, and return whether its id was counted before.

        Raises:
            SidecarUnreachableError, UnknownFeatureError, CheckError, RequestError: only with `wait`, as `check`.
        """
        body: dict[str, object] = {"feature": feature, "ok": ok}
        if duration_ms is not None:
            body["duration_ms"] = max(0.0, round(duration_ms, 3))
        if id is not None:
            body["id"] = id
        if at is not None and (wait or at.tzinfo is not None):
            body |= _at(at)
        if not wait:
            self._outcomes.add(body)
            return None
        with self._asking():
            return read_replayed(read_json(self._post("/v1/outcomes", body, feature).body))

    def measure(self, feature: str, *, expected: tuple[type[Exception], ...] = ()) -> OutcomeMeasure:
        """Report how a block or a decorated function goes: how long it takes, and whether it raises an exception.

        `expected`: exceptions that are no failures of the feature. Those of the block go on; no others are raised.
        """

        def report(outcome: MeasuredOutcome, duration_ms: float) -> None:
            self.outcome(feature, ok=outcome.ok, duration_ms=duration_ms)

        return OutcomeMeasure(report, expected)

    @property
    def outcomes_lost(self) -> int:
        """How many outcomes were dropped, because too many waited or the sidecar did not take them."""
        return self._outcomes.lost

    def flush_outcomes(self) -> None:
        """Send the outcomes that wait, and return when they are sent or dropped."""
        self._outcomes.flush()

    def outcomes(self, feature: str, since: datetime | None = None) -> list[OutcomeMinute]:
        """Return what was reported of a feature by minute, since a moment (with an offset) or in the last hour.

        Raises:
            SidecarUnreachableError: nobody answers in time.
            UnknownFeatureError: the catalog has no such feature.
            RequestError: the sidecar counts no outcomes.
        """
        query = {"feature": feature} | ({} if since is None else {"from": _at(since)["at"]})
        with self._asking():
            target = f"/v1/outcomes?{urlencode(query)}"
            response = self._read(self._connections.request("GET", target, None, self._headers()), feature)
            return read_minutes(read_json(response.body))

    def _send_outcomes(self, outcomes: list[Mapping[str, object]]) -> list[CallerError]:
        found = map(members, listed(read_json(self._post("/v1/outcomes", {"outcomes": outcomes}).body), "results"))
        both = zip(outcomes, found, strict=True)
        return [caller_error(result, str(it["feature"])) for it, result in both if "replayed" not in result]

    def close(self) -> None:
        """Send the outcomes that wait, and close the idle connections."""
        self._outcomes.close()
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Convert failures to `SidecarUnreachableError`, count them and report them."""
        try:
            yield
        except UnicodeEncodeError:
            raise RequestError(400, "malformed text", "the check holds half of a surrogate pair") from None
        except ValueError as error:
            self._connections.close()
            missed = SidecarUnreachableError(
                self._connections.url, f"unexpected response: not a Tiergate sidecar: {error}"
            )
            self._missed(missed)
            raise missed from None
        except SidecarUnreachableError as error:
            self._missed(error)
            raise

    def _missed(self, error: SidecarUnreachableError) -> None:
        self.no_answers = next(self._counter)
        now = time.monotonic()
        if now - self._logged_at >= _LOGGED_EVERY:
            self._logged_at = now
            _logger.warning("%s (%d so far; logged once a minute)", error, self.no_answers)
        if self._on_no_answer is not None:
            _call(self._on_no_answer, error)

    def _misled(self) -> SidecarUnreachableError:
        """Return the error of a response to another request, and close all connections: they may be shifted, too."""
        self._connections.close()
        return SidecarUnreachableError(self._connections.url, "the response belongs to another request")

    def _expected(self, answer: Answer, feature: str) -> Answer:
        if answer.feature != feature:
            raise self._misled()
        return answer

    def _headers(self) -> dict[str, str]:
        found = {"accept": "application/json"}
        if self._token is not None:
            found["authorization"] = f"Bearer {self._token.current()}"
        return found

    def _post(
        self, path: str, body: Mapping[str, object], feature: str = "", trace: Mapping[str, str] | None = None
    ) -> Response:
        headers = self._headers() | {"content-type": "application/json"} | dict(trace or {})
        return self._read(self._connections.request("POST", path, encode(body), headers), feature)

    def _read(self, response: Response, feature: str) -> Response:
        if response.status == _OK:
            return response
        problem = members(read_json(response.body))
        if response.status >= _SERVER_ERROR and response.status != _NOT_IMPLEMENTED:
            raise SidecarUnreachableError(self._connections.url, str(problem.get("detail", "cannot decide")))
        raise caller_error(problem, feature)


def _at(at: datetime | None) -> dict[str, str]:
    """Return the member of a moment, which must have an offset."""
    if at is None:
        return {}
    if at.tzinfo is None:
        raise CheckError("/at", "must have its offset: a local time would be a guess")
    return {"at": at.isoformat()}


def _key(key: str | None) -> str:
    return uuid4().hex if key is None else key


def _trace(request_id: str | None, traceparent: str | None) -> dict[str, str]:
    """Return the headers that identify the request in logs and traces, without invalid values."""
    given = {"x-request-id": request_id, "traceparent": traceparent}
    return {name: text for name, text in given.items() if isinstance(text, str) and _TEXT.fullmatch(text)}


def _call(hook: Callable[[E], object], error: E) -> None:
    """Call a hook of the service; its errors must not change the answer."""
    try:
        hook(error)
    except Exception:
        _logger.exception("a hook of the client raised an error")
