"""The decision log: one JSON object a line (NDJSON) for every selected decision.

It never delays a check, nor the end of the process. The event loop puts a tuple into a bounded queue; a thread turns
tuples into lines and writes them. Records that do not fit or cannot be written are dropped and counted, also if no
process reads the pipe.

`LogRules` select decisions and redact names: subjects, users and the subscriptions in sources can be left out, or
replaced by a keyed hash, under which equal names stay equal.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import random
import select
import stat
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from tiergate.model import Instant, Reason, format_instant
from tiergate.sidecar.request_context import RequestContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tiergate.model import Decision

Record = tuple[bytes, Instant, bytes, bytes, RequestContext, int, bytes]
"""Decision id, instant, the JSON of check and decision, the request's context, its duration in ns, the basis."""

_logger = logging.getLogger(__name__)

_BATCH = 256
_PERIOD = 0.1
_STAT_PERIOD = 1.0
_STALLED = 1.0
_LAST_BATCH = 1.0
_MODE = 0o600
_STDOUT = "-"


class Mask(StrEnum):
    """How the log writes a name."""

    KEEP = "keep"
    HASH = "hash"
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRules:
    """What is logged: a share of the decisions, those with these outcomes, of these features (none: of all).

    `sample` is between 0 and 1. `key` makes the hashes of masked names; without one they cannot be compared with
    those of another process. `records`: a line holds the subject's record too, unless subjects are masked.
    """

    sample: float = 1.0
    allowed: bool | None = None
    reasons: frozenset[Reason] = frozenset()
    features: frozenset[str] = frozenset()
    subject: Mask = Mask.KEEP
    user: Mask = Mask.KEEP
    key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    records: bool = False

    @property
    def wants_records(self) -> bool:
        """Whether a line contains the subject's record, which identifies it."""
        return self.records and self.subject is Mask.KEEP

    @property
    def masks(self) -> bool:
        """Whether any name is masked."""
        return (self.subject, self.user) != (Mask.KEEP, Mask.KEEP)

    def want(self, decision: Decision) -> bool:
        """Return whether such a decision is logged, apart from sampling."""
        return (
            self.sample > 0
            and (self.allowed is None or decision.allowed is self.allowed)
            and (not self.reasons or decision.reason in self.reasons)
            and (not self.features or decision.feature in self.features)
        )


class DecisionLog:
    """Writes records to `target`, a path or `-` for standard output, in a thread of its own.

    Only the owner can read the file. If it was moved or removed, it is opened again within a second of the next record,
    or at once on `reopen`. A FIFO need not have a reader yet.
    """

    def __init__(
        self,
        target: str,
        rules: LogRules | None = None,
        *,
        capacity: int = 50_000,
        turn: Callable[[], AbstractContextManager[object]] | None = None,
    ) -> None:
        """Prepare; `start` opens the target. `turn`: what is held while whole lines are written to it."""
        self.rules = rules if rules is not None else LogRules()
        self.target = target
        self.written = 0
        self._lost = 0
        self._rejected = 0
        self._queue: deque[Record] = deque()
        self._capacity = capacity
        self._lines = _Lines(self.rules)
        self._wake = threading.Event()
        self._drained = threading.Condition()
        self._turn = contextlib.nullcontext if turn is None else turn
        self._closing = False
        self._give_up_at = float("inf")
        self._reopening = False
        self._failing = False
        self._file: int | None = None
        self._identity: tuple[int, int] | None = None
        self._stat_at = 0.0
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)

    @property
    def dropped(self) -> int:
        """The number of selected records that are not in the log."""
        return self._lost + self._rejected

    def start(self) -> None:
        """Open the target, and start to write; raises `OSError` if it cannot be opened."""
        try:
            self._open()
        except OSError as error:
            if not self._waits_for_a_reader(error):
                raise
            self._fail(error)
        self._thread.start()

    def offer(self, record: Record) -> None:
        """Queue a record, unless it is not in the sample or there is no room. Never waits."""
        if self.rules.sample < 1 and random.random() >= self.rules.sample:  # noqa: S311 - no secret
            return
        if len(self._queue) >= self._capacity:
            self._rejected += 1
            return
        self._queue.append(record)

    def reopen(self) -> None:
        """Open the file again, as after a rotation. Safe in a signal handler."""
        self._reopening = True
        self._wake.set()

    def flush(self, timeout: float) -> bool:
        """Wait until everything that was offered is written or dropped; return whether it took at most `timeout` s."""
        with self._drained:
            self._wake.set()
            return self._drained.wait_for(lambda: not self._queue, timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Write the queued records, for at most `timeout` seconds, and stop.

        The writer counts its last batch itself; the records that are still queued then are dropped.
        """
        if self._closing:
            return
        self._give_up_at = time.monotonic() + timeout
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout + _LAST_BATCH)
        self._rejected += len(self._queue)

    def _run(self) -> None:
        while True:
            closing = self._closing
            if self._reopening or self._moved():
                self._reopening = False
                self._try_open()
            while self._queue and time.monotonic() < self._give_up_at and not self._reopening:
                self._write_batch()
            with self._drained:
                self._drained.notify_all()
            if closing:
                break
            self._wake.wait(_PERIOD)
            self._wake.clear()
        if self._file is not None and self.target != _STDOUT:
            os.close(self._file)
            self._file = None

    def _write_batch(self) -> None:
        # Records leave the queue after they are written, so that an empty queue means that nothing is under way.
        batch = [self._queue[place] for place in range(min(_BATCH, len(self._queue)))]
        try:
            if self._file is None:
                self._open()
            lines = b"".join(map(self._lines.line, batch))
            with self._turn():
                self._write(lines)
            self.written += len(batch)
            self._failing = False
        except OSError as error:
            self._lost += len(batch)
            self._fail(error)
        for _ in batch:
            self._queue.popleft()

    def _write(self, content: bytes) -> None:
        """Write all of it, however slow the reader, unless the log closes or its file is replaced."""
        left = memoryview(content)
        while left and self._file is not None:
            try:
                left = left[os.write(self._file, left) :]
            except BlockingIOError as error:
                self._await_reader(self._file, error)

    def _await_reader(self, file: int, error: OSError) -> None:
        waiting = select.poll()
        waiting.register(file, select.POLLOUT)
        patience = time.monotonic() + _STALLED
        while not waiting.poll(_PERIOD * 1000):
            now = time.monotonic()
            if now >= patience:
                self._fail(OSError(errno.EAGAIN, "no process reads it"))
            if self._reopening or now >= self._give_up_at:
                raise error

    def _waits_for_a_reader(self, error: OSError) -> bool:
        with contextlib.suppress(OSError):
            return error.errno == errno.ENXIO and stat.S_ISFIFO(os.stat(self.target).st_mode)  # noqa: PTH116 - as below
        return False

    def _open(self) -> None:
        if self.target == _STDOUT:
            self._file = 1
            return
        # Neither a FIFO without a reader nor a full pipe may block.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        opened = os.open(self.target, flags, _MODE)
        before, self._file = self._file, opened
        if before is not None:
            os.close(before)
        found = os.fstat(opened)
        self._identity = (found.st_dev, found.st_ino)

    def _try_open(self) -> None:
        try:
            self._open()
        except OSError as error:
            self._fail(error)

    def _moved(self) -> bool:
        """Return whether the path no longer leads to the open file; checked once a second."""
        now = time.monotonic()
        if self.target == _STDOUT or not self._queue or now < self._stat_at:
            return False
        self._stat_at = now + _STAT_PERIOD
        with contextlib.suppress(OSError):
            found = os.stat(self.target)  # noqa: PTH116 - a descriptor's like
            return (found.st_dev, found.st_ino) != self._identity
        return True

    def _fail(self, error: OSError) -> None:
        if not self._failing:
            _logger.error("cannot write the decision log: %s", error)
        self._failing = True


class _Lines:
    """Turns records into lines."""

    def __init__(self, rules: LogRules) -> None:
        self._rules = rules
        self._masked = rules.masks
        self._second = -1
        self._second_text = ""

    def line(self, record: Record) -> bytes:
        decision_id, now, check, decision, context, nanoseconds, basis = record
        if self._masked:
            check, decision = self._mask_check(check), self._mask_decision(decision)
        elif b"\n" in check or b"\r" in check:
            check = msgspec.json.format(check, indent=0)
        parts = [
            b'{"id":"%s","time":"%s","request":%s,"decision":%s,"basis":%s,"duration_us":%d.%d'
            % (decision_id, self._time(now), check, decision, basis, nanoseconds // 1000, nanoseconds // 100 % 10)
        ]
        for name, value in zip(RequestContext._fields, context, strict=True):
            if value is not None:
                parts.append(b',"%s":%s' % (name.encode(), msgspec.json.encode(value.decode("latin-1"))))
        parts.append(b"}\n")
        return b"".join(parts)

    def _time(self, now: Instant) -> bytes:
        second, millis = divmod(now, 1000)
        if second != self._second:
            self._second, self._second_text = second, format_instant(now - millis)[:-4]
        return f"{self._second_text}{millis:03d}Z".encode()

    def _mask_check(self, check: bytes) -> bytes:
        fields = msgspec.json.decode(check, type=dict[str, msgspec.Raw])
        subject = msgspec.json.decode(fields["subject"])
        if isinstance(subject, str):
            subject = {"id": subject}
        masked: dict[str, str] = {}
        for name, value in subject.items():
            shown = (
                value
                if name == "type"
                else self._mask(value, self._rules.user if name == "user" else self._rules.subject)
            )
            if shown is not None:
                masked[name] = shown
        fields["subject"] = msgspec.Raw(msgspec.json.encode(masked))
        return msgspec.json.encode(fields)

    def _mask_decision(self, decision: bytes) -> bytes:
        if b'"subscription":' not in decision:
            return decision
        fields = msgspec.json.decode(decision, type=dict[str, msgspec.Raw])
        sources = msgspec.json.decode(fields["sources"], type=list[dict[str, msgspec.Raw]])
        for source in sources:
            if "subscription" in source:
                shown = self._mask(msgspec.json.decode(source.pop("subscription"), type=str), self._rules.subject)
                if shown is not None:
                    source["subscription"] = msgspec.Raw(msgspec.json.encode(shown))
        fields["sources"] = msgspec.Raw(msgspec.json.encode(sources))
        return msgspec.json.encode(fields)

    def _mask(self, name: str, mask: Mask) -> str | None:
        match mask:
            case Mask.KEEP:
                return name
            case Mask.HASH:
                return "blake2b:" + hashlib.blake2b(name.encode(), key=self._rules.key, digest_size=16).hexdigest()
            case Mask.DROP:
                return None
