"""A sidecar as an object for asyncio: the same questions, answers and failures as `Sidecar`, which documents them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, Self, TypeVar, Unpack

from tiergate.client import calls
from tiergate.client.accounts import Account, MisreadError
from tiergate.client.async_connections import AsyncConnections
from tiergate.client.connections import Connections
from tiergate.client.outcomes import OutcomeMeasure, OutcomeSender
from tiergate.client.sidecar import DEFAULT_URL
from tiergate.client.usage import AsyncReservation
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

T = TypeVar("T")


class AsyncSidecar:
    """A client of one sidecar for asyncio. Connections are kept alive; each event loop and process has its own.

    Arguments, results and errors of all methods are those of `Sidecar`. A call that is cancelled closes its connection.
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
        """Prepare; nothing is sent yet, and no event loop needs to run. Arguments and errors are those of `Sidecar`."""
        certificates = None if ca_file is None else str(ca_file)
        self._connections = AsyncConnections(url, timeout, certificates)
        self._account = Account(url, token, token_file, on_no_answer, on_mistake)
        self._outcome_connections = Connections(url, timeout, certificates)
        self._outcomes = OutcomeSender(self._send_outcomes)

    @property
    def no_answers(self) -> int:
        """The number of failures so far."""
        return self._account.no_answers

    async def check(self, subject: SubjectArgument, feature: str, **options: Unpack[CheckOptions]) -> Answer:
        """Ask whether a subject may use a feature."""
        return await self._ask(calls.check_call(subject, feature, options))

    async def allows(
        self, subject: SubjectArgument, feature: str, *, otherwise: bool, **options: Unpack[CheckOptions]
    ) -> bool:
        """Ask as `check` does; return `otherwise` if the sidecar cannot be reached or cannot decide."""
        try:
            return (await self.check(subject, feature, **options)).allowed
        except SidecarUnreachableError:
            return otherwise
        except CallerError as error:
            if not self._account.mistaken(error):
                raise
            return otherwise

    async def checks(
        self, checks: Sequence[Check], *, request_id: str | None = None, traceparent: str | None = None
    ) -> list[Answer | CallerError]:
        """Ask up to 1,000 checks at once."""
        return await self._ask(calls.checks_call(checks, {"request_id": request_id, "traceparent": traceparent}))

    async def explain(
        self, subject: SubjectArgument, feature: str, *, at: datetime | None = None, **options: Unpack[CheckOptions]
    ) -> Explanation:
        """Ask why `check` answers as it does."""
        return await self._ask(calls.explain_call(subject, feature, at, options))

    async def entitlements(
        self,
        subject: SubjectArgument,
        *,
        features: Sequence[str] = (),
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> list[Answer]:
        """Return one answer for each feature of the catalog, or each of `features`."""
        options: CheckOptions = {"request_id": request_id, "traceparent": traceparent}
        return await self._ask(calls.entitlements_call(subject, features, options))

    async def consume(
        self,
        subject: SubjectArgument,
        feature: str,
        *,
        amount: Quantity | None = None,
        key: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Consumption:
        """Check a metered feature, and count the amount if it is allowed."""
        options: CheckOptions = {"amount": amount, "request_id": request_id, "traceparent": traceparent}
        return await self._ask(calls.consume_call(subject, feature, key, options))

    async def reserve(
        self,
        subject: SubjectArgument,
        feature: str,
        *,
        amount: Quantity | None = None,
        expires_in: int | None = None,
        key: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> AsyncReservation:
        """Check a metered feature, and set the amount aside if it is allowed. Use it in an `async with` block."""
        options: CheckOptions = {"amount": amount, "request_id": request_id, "traceparent": traceparent}
        made = await self._ask(calls.reserve_call(subject, feature, expires_in, key, options))
        return AsyncReservation(self, made)

    async def end_reservation(self, id_: str, verb: Literal["commit", "release"], amount: Quantity | None) -> None:
        """Commit or release a reservation by its id."""
        await self._ask(calls.end_call(id_, verb, amount))

    async def report_usage(
        self,
        subject: SubjectArgument,
        feature: str,
        *,
        amount: Quantity | None = None,
        at: datetime | None = None,
        key: str | None = None,
    ) -> RecordedUsage:
        """Count usage that has happened."""
        return await self._ask(calls.report_call(subject, feature, amount, at, key))

    async def usage(self, subject: SubjectArgument, feature: str | None = None) -> list[FeatureUsage]:
        """Return what a subject has used of one metered feature, or of all."""
        return await self._ask(calls.usage_call(subject, feature))

    def outcome(
        self,
        feature: str,
        *,
        ok: bool,
        duration_ms: float | None = None,
        at: datetime | None = None,
        id: str | None = None,
    ) -> None:
        """Report how a request to a feature went. A thread sends it soon, with others; nothing waits or is raised."""
        if at is not None and at.tzinfo is None:
            at = None  # nothing is raised: it counts now
        self._outcomes.add(calls.outcome_body(feature, ok=ok, duration_ms=duration_ms, at=at, id_=id))

    def measure(self, feature: str, *, expected: tuple[type[Exception], ...] = ()) -> OutcomeMeasure:
        """Report how a block, or a decorated function or coroutine, goes."""

        def report(outcome: MeasuredOutcome, duration_ms: float) -> None:
            self.outcome(feature, ok=outcome.ok, duration_ms=duration_ms)

        return OutcomeMeasure(report, expected)

    @property
    def outcomes_lost(self) -> int:
        """How many outcomes were dropped."""
        return self._outcomes.lost

    async def outcomes(self, feature: str, since: datetime | None = None) -> list[OutcomeMinute]:
        """Return what was reported of a feature by minute."""
        return await self._ask(calls.outcomes_call(feature, since))

    async def close(self) -> None:
        """Send the outcomes that wait, and close the idle connections."""
        await asyncio.to_thread(self._outcomes.close)
        self._outcome_connections.close()
        self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, call: Call[T]) -> T:
        """Send a request and read the response; count it if there is none."""
        try:
            response = await self._connections.request(call.method, call.target, call.body, self._account.headers(call))
            return self._account.result(call, response)
        except SidecarUnreachableError as error:
            if isinstance(error, MisreadError):
                self._connections.close()
            self._account.missed(error)
            raise

    def _send_outcomes(self, outcomes: list[Outcome]) -> list[CallerError]:
        call = calls.send_outcomes_call(outcomes)
        response = self._outcome_connections.request(call.method, call.target, call.body, self._account.headers(call))
        return self._account.result(call, response)
