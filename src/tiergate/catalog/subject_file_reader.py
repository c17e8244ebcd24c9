"""Read subjects files record by record, from YAML, JSON and NDJSON.

NDJSON (`.ndjson`, `.jsonl`) is read line by line in bounded memory: first without places, which is fast, and again with
places if the line has a problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.catalog.reading.document import BROKEN, Mapping, Node, SourceText, describe
from tiergate.catalog.reading.fields import Fields
from tiergate.catalog.reading.files import check_api_version, decode, explain_os_error, read_document
from tiergate.catalog.reading.json_reader import read_json
from tiergate.catalog.reading.placeless_json import read_placeless_json
from tiergate.catalog.reading.problem_report import PlacelessReport, PlacesNeeded, Report, TextReport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

    from tiergate.catalog.entries.subjects import SubjectReader
    from tiergate.catalog.reading.problem_report import ProblemLog
    from tiergate.model import Customer, Subscription

LINES_ENDINGS = frozenset({".ndjson", ".jsonl"})
"""The suffixes of files with one JSON object per line."""

MAX_LINE_BYTES = 2**20
"""Largest number of bytes of one line."""

_FILE_KEYS = frozenset({"apiVersion", "customers", "subscriptions"})
_ELSEWHERE = {
    **dict.fromkeys(("plans", "features", "items", "ladders"), "a catalog file (`--catalog`)"),
    **dict.fromkeys(("suite", "tests", "cases"), "a test file, `*_test.yaml` (`tiergate test`)"),
}
_HEAD_KEYS = frozenset({"apiVersion"})
_PLACELESS = PlacelessReport()


class SubjectEntry(NamedTuple):
    """One customer or subscription of a file; `subject` may be `None` if the record has `problems`."""

    subject: Customer | Subscription | None
    is_customer: bool
    node: Node
    place: int
    report: Report
    problems: int = 0


class SubjectFileReader:
    """Reads records; `is_complete` becomes false if a part could not be read, so records may be missing."""

    def __init__(self, reader: SubjectReader, log: ProblemLog) -> None:
        self.is_complete = True
        self._reader = reader
        self._log = log

    def read(self, path: Path, *, placed: bool = False) -> Iterator[SubjectEntry]:
        """Yield every record of a file; with `placed`, valid NDJSON records have places too."""
        if path.suffix.lower() in LINES_ENDINGS:
            return self._lines(path, placed=placed)
        return self._document(path)

    def _document(self, path: Path) -> Iterator[SubjectEntry]:
        document = read_document(path, self._log)
        if document is None:
            self.is_complete = False
            return
        root, place, report = document
        if root is None:
            report.add(place, "empty-file", "the file is empty: it needs at least `apiVersion`")
            return
        fields = Fields.of(root, place, report, _FILE_KEYS, ("apiVersion",), _ELSEWHERE)
        if fields is None:
            self.is_complete = False
            return
        check_api_version(fields)
        before = report.count
        lists = [(key, fields.entries_of(key)) for key in ("customers", "subscriptions")]
        self.is_complete = self.is_complete and report.count == before
        for key, entries in lists:
            for node, at in entries:
                yield self._record(node, at, report, is_customer=key == "customers", typed=False)

    def _record(self, node: Node, place: int, report: Report, *, is_customer: bool, typed: bool) -> SubjectEntry:
        read = self._reader.customer if is_customer else self._reader.subscription
        before = self._log.count
        subject = read(node, place, report, typed=typed)
        return SubjectEntry(subject, is_customer, node, place, report, self._log.count - before)

    def _lines(self, path: Path, *, placed: bool) -> Iterator[SubjectEntry]:
        try:
            with path.open("rb") as file:
                yield from self._numbered(file, str(path), placed=placed)
        except OSError as error:
            self.is_complete = False
            self._log.add((str(path), 0, 0), "unreadable-file", explain_os_error(error))

    def _numbered(self, file: BufferedReader, name: str, *, placed: bool) -> Iterator[SubjectEntry]:
        number = 0
        is_first = True
        while content := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(content) > MAX_LINE_BYTES:
                self.is_complete = False
                message = f"the line is longer than {MAX_LINE_BYTES:,} bytes"
                self._log.add((name, number, 1), "too-large", message)
                _skip_line(file, content)
                continue
            if content.isspace():
                continue
            record = None if placed else self._fast(content)
            if record is None:
                record = self._slow(content, name, number, is_first=is_first)
            is_first = False
            if record is not None:
                yield record
        if is_first:
            self.is_complete = False
            message = 'is empty, perhaps still being written; a file without subjects needs the line {"apiVersion": …}'
            self._log.add((name, 0, 0), "empty-file", message)

    def _fast(self, content: bytes) -> SubjectEntry | None:
        """Return the record of a line without problems; `None` if it has problems or is unusual."""
        try:
            node = read_placeless_json(content.decode())
            if not isinstance(node, Mapping):
                return None
            type_ = node.entries.get("type")
            if type_ == "subscription":
                return self._record(node, 0, _PLACELESS, is_customer=False, typed=True)
            if type_ == "customer":
                return self._record(node, 0, _PLACELESS, is_customer=True, typed=True)
        except (PlacesNeeded, ValueError, RecursionError):
            pass
        return None

    def _slow(self, content: bytes, name: str, number: int, *, is_first: bool) -> SubjectEntry | None:
        """Return the record of a line, reporting problems with places; `None` if it contains no record."""
        before = self._log.count
        line = decode(content.rstrip(b"\r\n"), name, self._log, number)
        if line is None:
            self.is_complete = False
            return None
        report = TextReport(self._log, SourceText(name, line, number))
        node, place = read_json(line, report)
        if not isinstance(node, Mapping):
            self.is_complete = False
            if node is not BROKEN:
                report.add(place, "wrong-type", f"a line must be one JSON object, not {describe(node)}")
            return None
        if is_first and "apiVersion" in node.entries:
            fields = Fields.of(node, place, report, _HEAD_KEYS)
            if fields is not None:
                check_api_version(fields)
            return None
        type_ = node.entries.get("type", BROKEN)
        if type_ not in ("customer", "subscription"):
            self.is_complete = False
            if type_ is BROKEN:
                message = 'the key `type` is missing: a line is of type "customer" or "subscription"'
                if "apiVersion" in node.entries:
                    message = "only the first line may have `apiVersion`"
                report.add(place, "missing-key", message)
            else:
                message = f"must be `customer` or `subscription`, not {describe(type_)}"
                report.add(node.value_place("type"), "unknown-word", message)
            return None
        record = self._record(node, place, report, is_customer=type_ == "customer", typed=True)
        return record._replace(problems=self._log.count - before)


def _skip_line(file: BufferedReader, content: bytes) -> None:
    while content and not content.endswith(b"\n"):
        content = file.readline(MAX_LINE_BYTES)
