"""The usage of subjects, read from files or a decision log, and kept on disk.

A usage file is NDJSON (`{"subject": "acme", "feature": "movies", "used": 12}`), or CSV with a header of these names. A
subscription is written `{"type": "subscription", "id": "s1"}`, in CSV with a column `type`. The last entry counts.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from tiergate.catalog.reading.scalars import read_number
from tiergate.errors import SubjectsError, did_you_mean
from tiergate.impact.preview.preview import KnownUsage
from tiergate.model import Number, Problem, Subject, SubjectType
from tiergate.naming import nearest, parse_subject_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from tiergate.model import Instant

_MOST_PROBLEMS: Final = 1_000
_COLUMNS: Final = ("subject", "feature", "used")
_LONGEST: Final = 65_536
_AT_ONCE: Final = 10_000

_Row = tuple[str, str, str, str]


class UsageTable:
    """The usage by subject and feature, in a temporary database. Use it as a context manager."""

    def __init__(self, path: Path | None = None) -> None:
        """Create an empty table, or open that of another process at `path`, read-only."""
        self._folder = None if path is not None else tempfile.TemporaryDirectory(prefix="tiergate-usage-")
        if self._folder is None:
            self._path = Path() if path is None else path
            self._database = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)
            return
        self._path = Path(self._folder.name, "usage.sqlite")
        self._database = sqlite3.connect(self._path)
        self._database.execute("PRAGMA synchronous = OFF")  # it is gone after a crash anyway
        self._database.execute(
            "CREATE TABLE figure (kind TEXT, subject TEXT, feature TEXT, used TEXT,"
            " PRIMARY KEY (kind, subject, feature)) WITHOUT ROWID"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        if self._folder is not None:
            self._folder.cleanup()

    def flushed(self) -> Path:
        """Write everything to the file, for other processes to open, and return its path."""
        self._database.commit()
        return self._path

    def put(self, subject: Subject, feature: str, used: Number) -> None:
        """Set what a subject has used."""
        self._put([(subject.type.value, subject.id, feature, str(used))])

    def used(self, subject: Subject, feature: str) -> Number | None:
        """Return what a subject has used of a feature; `None` if unknown."""
        query = "SELECT used FROM figure WHERE kind = ? AND subject = ? AND feature = ?"
        row = self._database.execute(query, (subject.type.value, subject.id, feature)).fetchone()
        if row is None:
            return None
        text = str(row[0])
        return int(text) if text.isdecimal() else Decimal(text)

    def known(self, subject: Subject, feature: str, _at: Instant) -> KnownUsage | None:
        """Return the usage that was put in, whatever the instant; `None` if unknown."""
        used = self.used(subject, feature)
        return None if used is None else KnownUsage(used)

    def read(self, path: Path, features: Collection[str]) -> None:
        """Read a usage file; `features`: those of the catalog.

        Raises:
            SubjectsError: with all problems, up to 1,000, and their lines.
            OSError: if it cannot be read.
        """
        problems: list[Problem] = []
        rows = _csv_rows if path.suffix.lower() == ".csv" else _json_rows
        waiting: list[_Row] = []

        def tell(line: int, message: str) -> None:
            if len(problems) < _MOST_PROBLEMS:
                problems.append(Problem(str(path), line, 1, "bad-usage", message))

        for line, entry in rows(path, tell):
            try:
                waiting.append(_row(entry, features))
            except ValueError as error:
                tell(line, str(error))
            if len(waiting) >= _AT_ONCE:
                self._put(waiting)
                waiting.clear()
        self._put(waiting)
        if problems:
            raise SubjectsError(problems)

    def _put(self, rows: list[_Row]) -> None:
        self._database.executemany("INSERT OR REPLACE INTO figure VALUES (?, ?, ?, ?)", rows)


def _json_rows(path: Path, tell: Callable[[int, str], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            if len(line) > _LONGEST:
                tell(number, f"the line has more than {_LONGEST} bytes")
                continue
            try:
                result = json.loads(line, parse_float=read_number, parse_constant=_constant)
            except (ValueError, RecursionError) as error:
                tell(number, f"the line is not JSON: {error}")
                continue
            if isinstance(result, dict):
                yield number, result
            else:
                tell(number, "the line must be a JSON object")


def _constant(word: str) -> NoReturn:
    message = f"`{word}` is not a number"
    raise ValueError(message)


def _csv_rows(path: Path, tell: Callable[[int, str], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            names = reader.fieldnames or ()
            missing = [name for name in _COLUMNS if name not in names]
            if missing:
                tell(1, f"the header must name `{missing[0]}`")
                return
            for row in reader:
                entry: dict[str, Any] = {key: row[key] for key in _COLUMNS}
                if row.get("type"):
                    entry["subject"] = {"type": row["type"], "id": row["subject"]}
                entry["used"] = _number(row["used"] or "")
                yield reader.line_num, entry
        except (csv.Error, UnicodeDecodeError) as error:
            tell(reader.line_num, f"the file is not CSV in UTF-8: {error}")


def _number(text: str) -> object:
    try:
        number = json.loads(text, parse_float=read_number, parse_constant=_constant)
    except ValueError:
        return text
    return number


def _row(entry: dict[str, Any], features: Collection[str]) -> _Row:
    for key in entry:
        if key not in _COLUMNS:
            message = f"no key `{key[:100]}` here{did_you_mean(nearest(key, _COLUMNS))}"
            raise ValueError(message)
    for key in _COLUMNS:
        if key not in entry:
            message = f"`{key}` is missing"
            raise ValueError(message)
    subject, feature, used = entry["subject"], entry["feature"], entry["used"]
    kind = SubjectType.CUSTOMER.value
    if isinstance(subject, dict) and subject.keys() == {"type", "id"}:
        kind, subject = subject["type"], subject["id"]
    if kind not in {value.value for value in SubjectType}:
        message = "`subject.type` must be `customer` or `subscription`"
        raise ValueError(message)
    if not isinstance(subject, str):
        message = "`subject` must be an id"
        raise ValueError(message)
    try:
        subject = parse_subject_id(subject)
    except ValueError as error:
        message = f"`subject` {error}"
        raise ValueError(message) from None
    if not isinstance(feature, str) or feature not in features:
        near = nearest(str(feature), features)
        message = f"no feature `{str(feature)[:100]}` in the catalog{did_you_mean(near)}"
        raise ValueError(message)
    if isinstance(used, bool) or not isinstance(used, int | Decimal) or used < 0:
        message = "`used` must be a number that is not negative"
        raise ValueError(message)
    return kind, subject, feature, str(used)
