"""Find and read catalog and subjects files: the files of a path, their text, and its document."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tiergate.catalog.reading.document import BROKEN, Node, SourceText, describe
from tiergate.catalog.reading.json_reader import read_json
from tiergate.catalog.reading.problem_report import ProblemLog, TextReport
from tiergate.catalog.reading.yaml_reader import read_yaml
from tiergate.naming import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tiergate.catalog.reading.fields import Fields

API_VERSION = "tiergate/v1"
"""The value of `apiVersion`."""

MAX_FILE_BYTES = 256 * 2**20
"""Largest file that is read as a whole."""

_OTHER_ENDINGS = frozenset({".jsonl", ".ndjson", ".json5", ".jsonc", ".xml", ".cedarschema"})
"""Endings of other files, though they are nearly those of ours."""
_ALIKE = 0.78

_BYTE_ORDER_MARK = "\ufeff"


def expand_paths(paths: Sequence[Path], endings: frozenset[str], log: ProblemLog) -> list[Path]:
    """Return the files of `paths`, each once: a file itself, a folder's files with one of `endings`.

    Ignores hidden files and tests (`*_test.yaml`) of a folder; reports a folder without files, and misspelt endings,
    whose files would be left out silently.
    """
    result: dict[str, Path] = {}
    for path in paths:
        for file in _inside(path, endings, log) if path.is_dir() else [path]:
            result.setdefault(os.path.realpath(file), file)
    return list(result.values())


def _inside(folder: Path, endings: frozenset[str], log: ProblemLog) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
        files = [file for file in entries if file.suffix.lower() in endings and _is_meant(file)]
    except OSError as error:
        log.add((str(folder), 0, 0), "unreadable-folder", explain_os_error(error))
        return []
    for file in entries:
        near = find_near_ending(file.suffix.lower(), endings)
        if near and file.is_file() and not file.name.startswith("."):
            message = f"is not read: the name of a file ends in {', '.join(sorted(endings))}"
            log.add((str(file), 0, 0), "misnamed-file", message, file.name.removesuffix(file.suffix) + near)
    if not files:
        log.add((str(folder), 0, 0), "empty-folder", f"the folder contains no {', '.join(sorted(endings))} file")
    return files


def find_near_ending(ending: str, known: Iterable[str]) -> str | None:
    """Return the known ending that a misspelt one was meant to be; `None` if it is none."""
    listed = sorted(known)
    if not ending or ending in listed or ending in _OTHER_ENDINGS or ending.endswith("~"):
        return None
    moved = next((it for it in listed if sorted(it) == sorted(ending)), None)
    return moved or nearest(ending, listed, cutoff=_ALIKE)


def _is_meant(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".") and not file.stem.endswith("_test")


def read_text(path: Path, log: ProblemLog) -> str | None:
    """Return the text of a file, or `None` after a problem."""
    file = str(path)
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        log.add((file, 0, 0), "unreadable-file", explain_os_error(error))
        return None
    if len(content) > MAX_FILE_BYTES:
        log.add((file, 0, 0), "too-large", f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB: split it")
        return None
    return decode(content, file, log)


def explain_os_error(error: OSError) -> str:
    """Return why a file cannot be read."""
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


def decode(content: bytes, file: str, log: ProblemLog, line: int = 1) -> str | None:
    """Return UTF-8 text without a byte order mark, or `None` after a problem."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        position = SourceText(file, before, line).position(len(before))
        log.add(position, "not-utf-8", f"the byte 0x{content[error.start]:02X} is not UTF-8: save the file as UTF-8")
        return None
    if text.startswith(_BYTE_ORDER_MARK):
        log.add((file, line, 1), "byte-order-mark", "the file begins with a byte order mark: save it without one")
        return None
    return text


def read_document(path: Path, log: ProblemLog) -> tuple[Node, int, TextReport] | None:
    """Return root, place and report of a `.json` file's document or, with any other suffix, a YAML file's."""
    text = read_text(path, log)
    return None if text is None else parse_document(str(path), text, log)


def parse_document(file: str, text: str, log: ProblemLog) -> tuple[Node, int, TextReport] | None:
    """Do the same as `read_document` with a given text."""
    report = TextReport(log, SourceText(file, text))
    root, place = read_json(text, report) if file.lower().endswith(".json") else read_yaml(text, report)
    return None if root is BROKEN else (root, place, report)


def check_api_version(fields: Fields) -> None:
    """Report an unsupported `apiVersion`; a missing one is reported with the other missing keys."""
    version = fields.entries.get("apiVersion", BROKEN)
    if version is not BROKEN and version != API_VERSION:
        message = f"`apiVersion` must be `{API_VERSION}`, not {describe(version)}"
        fields.problem("apiVersion", "unknown-api-version", message)
