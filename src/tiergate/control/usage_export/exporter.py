"""The export of usage to an object store, day by day.

    windows/date=2026-11-29/part-00000.parquet     windows that ended on this day, of every scope
    days/date=2026-11-29/part-00000.parquet        what each customer used on this day
    hours/date=2026-11-29/part-00000.parquet       … in each of its hours
    grants/date=2026-11-29/part-00000.parquet      grants that ended on this day
    progress.json                                  which days are written, and which of them for good

Days are in UTC. A day is written when it is over, and once more when no late usage can come for what ended on it: then
it is final. Writing a day again replaces its objects, so it does not matter whether one run ended halfway, or two
control planes write at once. What is older than its retention is never written, so that it is not replaced by nothing.

INVARIANT (progress follows): `progress.json` is written after what it says.
"""

from __future__ import annotations

import tempfile
import threading
from datetime import UTC, date, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from tiergate.admin.usage_exports import COLUMNS, Dataset, export_rows
from tiergate.control.usage_export.object_store import ExportStore
from tiergate.control.usage_export.parquet_files import MAX_ROWS, require_library, write_parquet
from tiergate.errors import ParameterError
from tiergate.model import BEGINNING
from tiergate.store.usage_exports import ExportFilter, oldest_usage
from tiergate.store.usage_series import DAY_MS, HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.admin.usage_exports import ExportedRow
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, Store

PROGRESS: Final = "progress.json"
MAX_REQUESTED: Final = 400
"""The most days that may be asked for at once."""

_MARGIN_MS: Final = HOUR_MS
"""How long after the last late usage a day is final: reports of sidecars may be under way."""

_PARQUET: Final = "application/vnd.apache.parquet"
_JSON: Final = "application/json"
_EPOCH: Final = date(1970, 1, 1)

_log = structlog.get_logger(__name__)


class Progress(msgspec.Struct, frozen=True):
    """How far an export is: all days through `final` are written for good; those of `written` at least once."""

    final: str = ""
    written: tuple[str, ...] = ()


class UsageExporter:
    """Exports the usage of one store. `run` belongs to one thread; the rest may be called from any."""

    def __init__(self, url: str, store: Store, *, retention: int, hours_retention: int) -> None:
        """Prepare; nothing is sent yet. Retentions in days.

        Raises:
            SettingsError: the URL cannot be used, or a library is not installed.
        """
        require_library()
        self._place = ExportStore(url)
        self._store = store
        self._retention = dict.fromkeys(Dataset, retention) | {Dataset.HOURS: hours_retention}
        self._lock = threading.Lock()
        self._requested: list[date] = []
        self._progress = Progress()
        self._running: date | None = None
        self.failing = False
        self.failures = 0
        self.written_until: Instant = BEGINNING
        """Until when all usage has been written at least once, in UTC milliseconds; `BEGINNING` if that is unknown."""

    def status(self) -> dict[str, object]:
        """Return how far the export is, as JSON."""
        with self._lock:
            return {
                "final": self._progress.final or None,
                "written": sorted(self._progress.written),
                "requested": [day.isoformat() for day in self._requested],
                "writing": None if self._running is None else self._running.isoformat(),
                "failing": self.failing,
            }

    def request_days(self, first: str, last: str) -> None:
        """Ask for days to be written again with the next run, from one to another.

        Raises:
            ParameterError: they are no days, too many, in the future, or older than the retention.
        """
        begin, end = _parse_day("first", first), _parse_day("last", last)
        today = _day_of(self._store.clock())
        if end < begin:
            raise ParameterError("last", "must not be before `first`")
        if end >= today:
            raise ParameterError("last", f"must be a day that is over in UTC, at most {today - timedelta(days=1)}")
        if (end - begin).days >= MAX_REQUESTED:
            raise ParameterError("first", f"must be at most {MAX_REQUESTED} days before `last`")
        kept = today - timedelta(days=self._retention[Dataset.WINDOWS] - 1)
        if begin < kept:
            raise ParameterError("first", f"must be at least {kept}: usage of earlier days is not kept")
        with self._lock:
            wanted = {*self._requested, *(begin + timedelta(days=number) for number in range((end - begin).days + 1))}
            self._requested = sorted(wanted)

    @property
    def has_requests(self) -> bool:
        """Whether days were asked for that are not written yet."""
        return bool(self._requested)

    def run(self) -> bool:
        """Write what is to be written; return whether that succeeded. It is logged and counted if not."""
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - of the object store's library, which has no root, or of the store
            self.failures += 1
            if not self.failing:
                _log.error("cannot export usage; trying again", error=str(error)[:500])
            self.failing = True
            return False
        finally:
            self._running = None
        if self.failing:
            _log.info("usage is exported again")
        self.failing = False
        return True

    def _run(self) -> None:
        content = self._place.read(PROGRESS)
        progress = Progress() if content is None else msgspec.json.decode(content, type=Progress)
        self._note(progress)
        now = self._store.clock()
        today = _day_of(now)
        first = self._first_day(progress, today)
        late = self._store.read(_longest_late)
        for number in range((today - first).days):
            day = first + timedelta(days=number)
            is_final = _begin_of(day) + DAY_MS + late + _MARGIN_MS <= now
            if not is_final and day.isoformat() in progress.written:
                continue
            self._write_day(day, today)
            progress = _with_day(progress, day, is_final=is_final)
            self._place.write(PROGRESS, msgspec.json.encode(progress), _JSON)
            self._note(progress)
        self.written_until = _begin_of(today)
        while self._requested:
            day = self._requested[0]
            self._write_day(day, today)
            with self._lock:
                self._requested = [other for other in self._requested if other != day]

    def _first_day(self, progress: Progress, today: date) -> date:
        """Return the first day that is not final."""
        kept = today - timedelta(days=self._retention[Dataset.WINDOWS] - 1)
        if progress.final:
            return max(kept, date.fromisoformat(progress.final) + timedelta(days=1))
        oldest = self._store.read(oldest_usage)
        return today if oldest is None else max(kept, _day_of(oldest))

    def _note(self, progress: Progress) -> None:
        with self._lock:
            self._progress = progress
        known = [*progress.written, *([progress.final] if progress.final else [])]
        if known:
            self.written_until = _begin_of(date.fromisoformat(max(known))) + DAY_MS

    def _write_day(self, day: date, today: date) -> None:
        self._running = day
        for dataset in Dataset:
            if (today - day).days < self._retention[dataset]:
                self._write_dataset(dataset, day)

    def _write_dataset(self, dataset: Dataset, day: date) -> None:
        begin = _begin_of(day)
        wanted = ExportFilter(start=begin, until=begin + DAY_MS, ended=True)
        rows = chain.from_iterable(export_rows(self._store, dataset, wanted))
        prefix = f"{dataset.value}/date={day.isoformat()}"
        written: list[str] = []
        with tempfile.TemporaryDirectory(prefix="tiergate-usage-") as folder:
            path = Path(folder, "part.parquet")
            for number, part in enumerate(_parts(rows)):
                name = f"{prefix}/part-{number:05}.parquet"
                write_parquet(path, COLUMNS[dataset], part)
                self._place.write(name, path, _PARQUET)
                written.append(name)
        self._place.delete_others(f"{prefix}/", written)


def _parts(rows: Iterator[ExportedRow]) -> Iterator[list[ExportedRow]]:
    """Yield the rows of each file: at least one file, even without rows."""
    part = list(islice(rows, MAX_ROWS))
    yield part
    while len(part) == MAX_ROWS and (part := list(islice(rows, MAX_ROWS))):
        yield part


def _with_day(progress: Progress, day: date, *, is_final: bool) -> Progress:
    text = day.isoformat()
    if not is_final:
        return Progress(progress.final, tuple(sorted({*progress.written, text})))
    return Progress(text, tuple(other for other in progress.written if other > text))


def _longest_late(unit: ReadUnit) -> int:
    features = unit.published.index.features.values()
    return max((feature.metered.late for feature in features if feature.metered is not None), default=0)


def _day_of(at: Instant) -> date:
    return datetime.fromtimestamp(at / 1000, UTC).date()


def _begin_of(day: date) -> Instant:
    return (day - _EPOCH).days * DAY_MS


def _parse_day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ParameterError(name, f"must be a day such as `2026-11-29`, not `{text}`") from None
