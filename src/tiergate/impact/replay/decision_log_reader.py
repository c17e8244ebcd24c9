"""Read the lines of a decision log, and find recorded checks that would be denied now.

A log is read as a stream. An unreadable line is reported with its position and skipped: crashes and full disks cut logs
off. The subject of a masked line is unknown.
"""

from __future__ import annotations

import gzip
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.engine import Evaluator
from tiergate.engine.decision_inputs import DecisionBasis, LoggedUsage, LoggedUsageSource, read_basis
from tiergate.engine.feature_status import FeatureStatuses, fixed_status
from tiergate.errors import CallerError
from tiergate.impact.preview.affected_scope import find_affected_scope
from tiergate.model import Check, Instant, Problem, Status, Subject, parse_instant
from tiergate.wire.check_reader import read_check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tiergate.engine import BundleSource
    from tiergate.model import Decision, SubjectRecord

STDIN = Path("-")
"""The log from standard input."""

_LONGEST_LINE = 16 * 2**20
_MOST_KNOWN = 50_000
_MOST_RECORDS = 10_000
_HASH = re.compile(r"blake2b:[0-9a-f]{32}")
_NO_USAGE = LoggedUsage()


class RecordedVerdict(msgspec.Struct, frozen=True):
    """The fields of a recorded decision that are read; its whole text is beside it."""

    allowed: bool
    reason: str
    feature: str
    publication: int
    revision: str
    stale: bool = False


class RecordedDecision(NamedTuple):
    """One line of a log.

    `check`: `None` if the subject, or its user, is masked. `request`, `decision`: JSON as in the line; unless masked,
    the decision is what the caller received, byte for byte. `basis`: `None` in logs of older releases.
    """

    file: str
    line: int
    id: str
    at: Instant
    check: Check | None
    request: bytes
    decision: bytes
    verdict: RecordedVerdict
    basis: DecisionBasis | None


class _Line(msgspec.Struct):
    id: str
    time: str
    request: msgspec.Raw
    decision: msgspec.Raw
    basis: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Masked(msgspec.Struct):
    id: str | msgspec.UnsetType = msgspec.UNSET
    user: str | msgspec.UnsetType = msgspec.UNSET


class _Request(msgspec.Struct):
    subject: str | _Masked


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_verdict = msgspec.json.Decoder(RecordedVerdict).decode
_decode_request = msgspec.json.Decoder(_Request).decode


@contextmanager
def open_log(path: Path) -> Iterator[Iterator[bytes]]:
    """Open a log: `-` is standard input, a name in `.gz` is decompressed.

    Raises:
        OSError: if it cannot be read.
    """
    if path == STDIN:
        yield _lines(sys.stdin.buffer.readline)
        return
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield _lines(file.readline)


def _lines(readline: Callable[[int], bytes]) -> Iterator[bytes]:
    while line := readline(_LONGEST_LINE):
        yield line


def read_log(
    lines: Iterable[bytes], file: str, tell: Callable[[Problem], None], *, holding: bytes = b""
) -> Iterator[RecordedDecision]:
    """Yield the lines of a log; `file`: its name in problems.

    Unreadable lines are reported as problems and skipped. `holding`: only lines with these bytes are read, such as an
    id.
    """
    for number, line in enumerate(lines, 1):
        if holding and holding not in line:
            continue
        if not line.strip():
            continue
        try:
            yield _read(line, file, number)
        except (ValueError, RecursionError, CallerError) as error:
            tell(Problem(file, number, 1, "bad-line", _why(line, error)))


def _read(line: bytes, file: str, number: int) -> RecordedDecision:
    entry = _decode_line(line)
    request, decision = bytes(entry.request), bytes(entry.decision)
    check = None if _is_masked(request) else read_check(request, "/request")
    basis = None if entry.basis is msgspec.UNSET else read_basis(entry.basis)
    verdict = _decode_verdict(decision)
    return RecordedDecision(file, number, entry.id, parse_instant(entry.time), check, request, decision, verdict, basis)


def _is_masked(request: bytes) -> bool:
    """Return whether a line omits or masks its subject."""
    subject = _decode_request(request).subject
    if isinstance(subject, str):
        return False
    names = [name for name in (subject.id, subject.user) if name is not msgspec.UNSET]
    return subject.id is msgspec.UNSET or any(_HASH.fullmatch(name) for name in names)


def _why(line: bytes, error: Exception) -> str:
    if not line.endswith(b"\n"):
        return "the line is cut off"
    return f"this is not a line of a decision log: {error}"


# ── what would now be denied ─────────────────────────────────────────────────────────────────────────────────────────


class NewDenial(NamedTuple):
    """A recorded check that was allowed, and is denied by decision `now`.

    `before`: today's decision without the change, if made: if it is a denial too, the change is not the cause. `times`:
    how often this check occurs in the log up to this line: 1 on its first.
    """

    recorded: RecordedDecision
    now: Decision
    before: Decision | None
    times: int

    @property
    def by_change(self) -> bool:
        """Whether the check is allowed without the change."""
        return self.before is None or self.before.allowed


@dataclass(slots=True)
class _CheckDecisions:
    """The decisions about one check, and how often it occurred."""

    now: Decision | None = None
    before: Decision | None = None
    times: int = 0


class _RecordCache:
    """Finds subjects, with a cache of recent ones."""

    def __init__(self, find: Callable[[Subject], SubjectRecord | None]) -> None:
        self.find = lru_cache(_MOST_RECORDS)(find)


def find_new_denials(
    recorded: Iterable[RecordedDecision],
    candidate: BundleSource,
    find_record: Callable[[Subject], SubjectRecord | None],
    now: Instant,
    *,
    baseline: BundleSource | None = None,
    tell: Callable[[Problem], None] = lambda _: None,
) -> Iterator[NewDenial]:
    """Decide every recorded check that was allowed with another bundle, at `now`, on today's records.

    Usage is that of the record: the caller's, else the metered one; so is the status of the feature. A check that the
    bundle rejects, because its feature is gone or of another type, is reported as a problem; so is a masked line. What
    a sidecar allowed before it had data is skipped. With `baseline`, features that the change cannot affect are
    skipped. Equal checks among recent ones are decided once. Memory is bounded.

    Yields each line that would be denied, in the order of the log.
    """
    subjects = _RecordCache(find_record)
    usages = [LoggedUsageSource(bundle.index.features) for bundle in (candidate, baseline) if bundle is not None]
    statuses = FeatureStatuses()
    engine = Evaluator(candidate, subjects, usage=usages[0], statuses=statuses)
    before = None if baseline is None else Evaluator(baseline, subjects, usage=usages[-1], statuses=statuses)
    untouched = (
        frozenset()
        if baseline is None
        else candidate.index.features.keys() - find_affected_scope(baseline, candidate, now).features
    )
    known: dict[tuple[bytes, LoggedUsage, Status], _CheckDecisions] = {}
    for entry in recorded:
        if not entry.verdict.allowed or entry.verdict.feature in untouched:
            continue
        if entry.check is None:
            tell(Problem(entry.file, entry.line, 1, "masked", "the subject is masked, so the check is skipped"))
            continue
        if entry.basis is not None and not entry.basis.loaded:
            continue  # allowed because there was no data, not by what was published
        given = None if entry.basis is None else entry.basis.usage
        for usage in usages:
            usage.usage = _NO_USAGE if given is None else given
        shown = None if entry.basis is None else entry.basis.status
        status = Status.OPERATIONAL if shown is None else shown.status
        statuses.replace(fixed_status(entry.check.feature, status, now))
        key = (entry.request, usages[0].usage, status)
        outcome = known.get(key)
        if outcome is None:
            if len(known) >= _MOST_KNOWN:
                known.clear()
            outcome = known[key] = _decide_recorded(entry, engine, before, now, tell)
        outcome.times += 1
        if outcome.now is not None and not outcome.now.allowed:
            yield NewDenial(entry, outcome.now, outcome.before, outcome.times)


def _decide_recorded(
    recorded: RecordedDecision,
    engine: Evaluator,
    before: Evaluator | None,
    now: Instant,
    tell: Callable[[Problem], None],
) -> _CheckDecisions:
    check = recorded.check
    if check is None:  # pragma: no cover - told above
        return _CheckDecisions()
    try:
        decision = engine.decide(check, now)
    except CallerError as error:
        tell(Problem(recorded.file, recorded.line, 1, "not-a-check", f"the catalog rejects this check: {error}"))
        return _CheckDecisions()
    if decision.allowed or before is None:
        return _CheckDecisions(decision)
    try:
        return _CheckDecisions(decision, before.decide(check, now))
    except CallerError:  # of a feature that is new: it was another one's when the log was written
        return _CheckDecisions(decision)
