"""A sidecar as an object: checks, entitlements and explanations; consumptions and usage, where the sidecar counts it.

`allows` always returns a boolean. A denial and a failure are never confused: a denial is an `Answer`, a failure is a
`SidecarUnreachableError`, or the `otherwise` of `allows`. An answer to another request counts as a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeVar, Unpack

from tiergate.client import calls
from tiergate.client.accounts import Account, MisreadError
from tiergate.client.connections import Connections
from tiergate.client.outcomes import OutcomeMeasure, OutcomeSender
from tiergate.client.usage import Reservation
from tiergate.errors import CallerError, SidecarUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from tiergate.client.answers import Answer, Explanation
    from tiergate.client.calls import Call, CheckOptions, Outcome
    from tiergate.client.check_arguments import Quantity, SubjectArgument
    from tiergate.client.outcomes import MeasuredOutcome, OutcomeMinute
    from tiergate.client.usage import Consumption, FeatureUsage, RecordedUsage
    from tiergate.model import Check

DEFAULT_URL = "http://127.0.0.1:8437"
"""The default address of a sidecar."""

T = TypeVar("T")


class Sidecar:
    """A client of one sidecar. Safe to use from several threads and after a fork; connections are kept alive."""

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
        self._account = Account(url, token, token_file, on_no_answer, on_mistake)
        self._outcomes = OutcomeSender(self._send_outcomes)

    @property
    def no_answers(self) -> int:
        """The number of failures so far."""
        return self._account.no_answers

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
        options: CheckOptions = {
            "amount": amount,
            "used": used,
            "user_used": user_used,
            "value": value,
            "level": level,
            "request_id": request_id,
            "traceparent": traceparent,
        }
        return self._ask(calls.check_call(subject, feature, options))

    def ask(self, check: Check) -> bytes:
        """Ask as `check` does; give the answer's JSON as the sidecar wrote it."""
        return self._ask(calls.raw_check_call(check))

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
            if not self._account.mistaken(error):
                raise
            return otherwise

    def checks(
        self, checks: Sequence[Check], *, request_id: str | None = None, traceparent: str | None = None
    ) -> list[Answer | CallerError]:
        """Ask up to 1,000 checks at once. Answers come in the same order; a wrong check's place holds its error.

        Raises:
            SidecarUnreachableError, RequestError: as `check`.
            CheckError: something among the checks is none.
        """
        return self._ask(calls.checks_call(checks, {"request_id": request_id, "traceparent": traceparent}))

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
        options: CheckOptions = {
            "amount": amount,
            "used": used,
            "user_used": user_used,
            "value": value,
            "level": level,
            "request_id": request_id,
            "traceparent": traceparent,
        }
        return self._ask(calls.explain_call(subject, feature, at, options))

    def entitlements(
        self,
        subject: SubjectArgument,
        *,
        features: Sequence[str] = (),
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> list[Answer]:
        """Return one answer for each feature of the catalog, or each of `features`, in the order of their ids."""
        options: CheckOptions = {"request_id": request_id, "traceparent": traceparent}
        return self._ask(calls.entitlements_call(subject, features, options))

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
        options: CheckOptions = {"amount": amount, "request_id": request_id, "traceparent": traceparent}
        return self._ask(calls.consume_call(subject, feature, key, options))

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
        options: CheckOptions = {"amount": amount, "request_id": request_id, "traceparent": traceparent}
        made = self._ask(calls.reserve_call(subject, feature, expires_in, key, options))
        return Reservation(self, made)

    def end_reservation(self, id_: str, verb: Literal["commit", "release"], amount: Quantity | None) -> None:
        """Commit or release a reservation by its id, as in another process than the one that made it."""
        self._ask(calls.end_call(id_, verb, amount))

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
        return self._ask(calls.report_call(subject, feature, amount, at, key))

    def usage(self, subject: SubjectArgument, feature: str | None = None) -> list[FeatureUsage]:
        """Return what a subject has used of one metered feature, or of all, in their current windows.

        Raises:
            SidecarUnreachableError: nobody answers in time.
            UnknownFeatureError, CheckError: the feature is unknown, or not metered.
            RequestError: the subject is unknown, or the sidecar counts no usage.
        """
        return self._ask(calls.usage_call(subject, feature))

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
        if not wait and at is not None and at.tzinfo is None:
            at = None  # nothing is raised: it counts now
        outcome = calls.outcome_body(feature, ok=ok, duration_ms=duration_ms, at=at, id_=id)
        if wait:
            return self._ask(calls.outcome_call(outcome))
        self._outcomes.add(outcome)
        return None

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
        return self._ask(calls.outcomes_call(feature, since))

    def _send_outcomes(self, outcomes: list[Outcome]) -> list[CallerError]:
        return self._answered(calls.send_outcomes_call(outcomes))

    def close(self) -> None:
        """Send the outcomes that wait, and close the idle connections."""
        self._outcomes.close()
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, call: Call[T]) -> T:
        """Send a request and read the response; count it if there is none."""
        try:
            return self._answered(call)
        except SidecarUnreachableError as error:
            self._account.missed(error)
            raise

    def _answered(self, call: Call[T]) -> T:
        response = self._connections.request(call.method, call.target, call.body, self._account.headers(call))
        try:
            return self._account.result(call, response)
        except MisreadError:
            self._connections.close()
            raise
