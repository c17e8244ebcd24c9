"""Outcomes of requests, reported from a service: collected, and sent in batches by a thread.

Nothing here raises into the code that reports, or waits in it. What cannot be delivered is dropped and counted: a
service must not run out of memory because its sidecar is gone.
"""

from __future__ import annotations

import atexit
import inspect
import logging
import os
import threading
import time
import weakref
from collections import deque
from contextlib import ContextDecorator
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec

from tiergate.client.answers import convert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from tiergate.errors import CallerError

    Send = Callable[[list[Mapping[str, object]]], list[CallerError]]

F = TypeVar("F", bound="Callable[..., Any]")

MOST_WAITING: Final = 20_000
"""How many outcomes wait at most; further ones are dropped."""

_BATCH: Final = 1_000
_EVERY: Final = 0.5
_END_SECONDS: Final = 2.0
_LOGGED_EVERY: Final = 60.0

_logger = logging.getLogger(__name__)


class OutcomeMinute(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of a feature in one minute. `slow`: latency in milliseconds → how many took longer."""

    minute: str
    requests: int
    failed: int
    slow: dict[int, int] = {}


class _Minutes(msgspec.Struct):
    minutes: list[OutcomeMinute]


class _Recorded(msgspec.Struct):
    replayed: bool


@dataclass(slots=True)
class MeasuredOutcome:
    """How the block of `Sidecar.measure` goes. `ok`: set it to false if it fails without an exception."""

    ok: bool = True


class OutcomeSender:
    """Sends outcomes by a thread, which begins with the first of them. Safe to use from several threads, and in forks.

    `lost`: how many were dropped, because too many waited or the sidecar did not take them.
    """

    def __init__(self, send: Send) -> None:
        """Prepare; `send` sends a batch and returns what is wrong with some of it; it raises if none was taken."""
        self._send = send
        self._waiting: deque[Mapping[str, object]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._process = 0
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._sending = threading.Lock()
        self._logged_at = -_LOGGED_EVERY
        self.lost = 0

    def add(self, outcome: Mapping[str, object]) -> None:
        """Send an outcome soon."""
        if self._process != os.getpid():
            self._begin()
        if len(self._waiting) >= MOST_WAITING or self._is_closed:
            self._lose(1, "too many wait to be sent")
            return
        self._waiting.append(outcome)
        if len(self._waiting) >= _BATCH:
            self._wake.set()

    def flush(self) -> None:
        """Send what waits, and return when it was sent or dropped."""
        with self._sending:
            while self._waiting:
                count = min(_BATCH, len(self._waiting))
                batch = [self._waiting.popleft() for _ in range(count)]
                try:
                    refused = self._send(batch)
                except Exception as error:  # noqa: BLE001 - whatever it is, the service goes on
                    self._lose(len(batch), error)
                else:
                    self._lose(len(refused), next(iter(refused), None))

    def close(self) -> None:
        """Send what waits, and end the thread."""
        self._is_closed = True
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and self._process == os.getpid():
            thread.join(_END_SECONDS)

    def _begin(self) -> None:
        """Begin in this process: after a fork the parent sends what it has, and no thread is left here."""
        with self._lock:
            if self._process == os.getpid():
                return
            if self._process:
                self._waiting, self._wake, self._sending = deque(), threading.Event(), threading.Lock()
            self._process = os.getpid()
            self._thread = threading.Thread(target=_run, args=(weakref.ref(self),), name="outcomes", daemon=True)
            self._thread.start()
            atexit.register(_close, weakref.ref(self))

    def wait(self) -> bool:
        """Wait until much waits or some time has passed; return whether to go on."""
        self._wake.wait(_EVERY)
        self._wake.clear()
        return not self._is_closed

    def _lose(self, count: int, why: object) -> None:
        if not count:
            return
        self.lost += count
        now = time.monotonic()
        if now - self._logged_at >= _LOGGED_EVERY:
            self._logged_at = now
            _logger.warning("outcomes are dropped: %s (%d so far; logged once a minute)", why, self.lost)


def _run(reference: weakref.ref[OutcomeSender]) -> None:
    """Send until the sender is closed, or nobody has it any more."""
    while (sender := reference()) is not None:
        goes_on = sender.wait()
        sender.flush()
        if not goes_on:
            return
        del sender


def _close(reference: weakref.ref[OutcomeSender]) -> None:
    sender = reference()
    if sender is not None:
        sender.close()


class OutcomeMeasure(ContextDecorator):
    """Reports how a block goes, or each call of a decorated function, which may be a coroutine.

    It failed if it raised an `Exception` that is not `expected`, or said so. What else ends a block, such as a
    cancellation, is no failure.
    """

    def __init__(
        self, report: Callable[[MeasuredOutcome, float], None], expected: tuple[type[Exception], ...] = ()
    ) -> None:
        """Prepare; `report` gets the outcome and the milliseconds."""
        self._report = report
        self._expected = expected
        self._outcome = MeasuredOutcome()
        self._begun = 0.0

    def __enter__(self) -> MeasuredOutcome:
        self._outcome, self._begun = MeasuredOutcome(), time.perf_counter()
        return self._outcome

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, self._expected):
            self._outcome.ok = False
        self._report(self._outcome, (time.perf_counter() - self._begun) * 1000)

    def _recreate_cm(self) -> OutcomeMeasure:
        """Return one for another call of a decorated function."""
        return OutcomeMeasure(self._report, self._expected)

    def __call__(self, function: F) -> F:
        """Decorate a function."""
        if not inspect.iscoroutinefunction(function):
            return super().__call__(function)

        @wraps(function)
        async def measured(*args: object, **options: object) -> object:
            with self._recreate_cm():
                return await function(*args, **options)

        return cast("F", measured)


def read_replayed(content: object) -> bool:
    """Convert the answer to one outcome; raises `ValueError` if it is none."""
    return convert(content, _Recorded).replayed


def read_minutes(content: object) -> list[OutcomeMinute]:
    """Convert JSON to the minutes of a feature; raises `ValueError` if it is none."""
    try:
        return msgspec.convert(content, _Minutes, str_keys=True).minutes
    except msgspec.ValidationError as error:
        raise ValueError(f"the body is not as documented: {error}") from None
