"""Read test files into suites, each with its environment.

Strict: unknown keys, near misses and contradictions are problems, and all are found at once, including those of the
files that a suite names. What only a decision can show is left to the runner.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.catalog import Fields
from tiergate.catalog.reading.document import BROKEN, Mapping, shorten
from tiergate.catalog.reading.fields import find_suggestion, read_line, read_list
from tiergate.catalog.reading.files import (
    check_api_version,
    explain_os_error,
    find_near_ending,
    parse_document,
    read_text,
)
from tiergate.cedar import builtin_text
from tiergate.policytest.cedar_test_reader import CEDAR_KEYS, CedarFiles, read_cedar_environment, read_cedar_tests
from tiergate.policytest.entitlement_tests import CHECK_TEST_KEYS, CheckTests
from tiergate.policytest.environments import EntitlementEnvironment, RoleEnvironment
from tiergate.policytest.expectations import read_tests
from tiergate.policytest.role_tests import ROLE_TEST_KEYS, RoleTests
from tiergate.policytest.subject_fixtures import FIXTURE_KEYS, read_subject_fixtures
from tiergate.policytest.suites import Suite, SuiteKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tiergate.catalog import ProblemLog, TextReport
    from tiergate.policytest.compilation_cache import CompilationCache
    from tiergate.policytest.environments import Environment
    from tiergate.policytest.suites import Test

ENDINGS: Final = ("_test.yaml", "_test.yml")
"""The endings of test files."""

SHIPPED: Final = "shipped"
"""Stands for the shipped role table in place of a path."""

INLINE_KEYS: Final = frozenset({"features", "items", "ladders"})
_HEAD_KEYS: Final = frozenset({"apiVersion", "suite", "description", "skip"})
KINDS: Final = {
    SuiteKind.ENTITLEMENTS: _HEAD_KEYS
    | INLINE_KEYS
    | FIXTURE_KEYS
    | {"catalog", "rules", "now", "usage", "status", "tests"},
    SuiteKind.ROLES: _HEAD_KEYS | {"roles", "callers", "resources", "tests"},
    SuiteKind.CEDAR: _HEAD_KEYS | {"cedar"},
}
"""The keys of each kind of suite."""

_MOST_PATH: Final = 4096


def suite_files(paths: Sequence[Path], log: ProblemLog) -> list[Path]:
    """Return the test files of `paths`, each once: files as given, folders as all test files below them, sorted.

    Hidden files and folders are left out. A folder without a test file is a problem, as is a missing path.
    """
    result: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            files = list(_below(path, log))
            if not files and not log.count:
                log.add((str(path), 0, 0), "empty-folder", f"the folder contains no `*{ENDINGS[0]}`")
        else:
            files = [path]
        for file in files:
            result.setdefault(os.path.realpath(file), file)
    return list(result.values())


def _below(folder: Path, log: ProblemLog) -> Iterator[Path]:
    """Yield the test files below a folder, in the order of their paths."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        log.add((str(folder), 0, 0), "unreadable-folder", explain_os_error(error))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if not entry.is_symlink():  # which could lead in a circle
                yield from _below(entry, log)
        elif entry.name.endswith(ENDINGS):
            yield entry
        elif _is_misnamed(entry):
            message = f"looks like a test file, but is not run: its name must end in `{ENDINGS[0]}`"
            log.add((str(entry), 0, 0), "misnamed-file", message, f"{_bare(entry)}{ENDINGS[0]}")


_NEARLY: Final = re.compile(r"[-_. ]t[est]{2,4}$|^tests?[-_. ]|(?<=.)tests?$", re.IGNORECASE)
_SUITE: Final = re.compile(r"""^["']?(?:tests|cedar)["']?\s*:""", re.MULTILINE)
_OURS: Final = re.compile(r"""^\s*["']?apiVersion["']?\s*:\s*["']?tiergate/""", re.MULTILINE)
_MOST_BYTES: Final = 2**20


def _is_misnamed(file: Path) -> bool:
    """Return whether a YAML file is a test file by its first level of keys, though not by its name."""
    ending = file.suffix.lower()
    is_yaml = ending in {".yaml", ".yml"} or find_near_ending(ending, (".yaml", ".yml")) is not None
    if not is_yaml:
        return False
    try:
        with file.open("rb") as opened:
            text = opened.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return False
    return _OURS.search(text) is not None and _SUITE.search(text) is not None


def _bare(file: Path) -> str:
    """Return a name without what stands for `test` in it."""
    return _NEARLY.sub("", file.stem).strip("-_. ") or file.stem


class PublishedFiles(NamedTuple):
    """What is about to be published: suites with `catalog` test this instead of the files that they name.

    `rules`: a folder; without one, there are no rules.
    """

    catalog: tuple[Path, ...]
    rules: Path | None = None


class _Head(NamedTuple):
    """A suite while it is read."""

    path: Path
    text: str
    root: Mapping
    fields: Fields
    report: TextReport
    log: ProblemLog
    kind: SuiteKind


class SuiteReader:
    """Reads test files. The `cache` compiles what they name, and may serve several readings.

    `inputs`: every file and folder that the suites use, to watch them.
    """

    def __init__(self, cache: CompilationCache, log: ProblemLog, published: PublishedFiles | None = None) -> None:
        self._cache = cache
        self._log = log
        self._published = published
        self.environments: dict[str, Environment] = {}
        self.inputs: set[Path] = set()

    def read(self, path: Path) -> Suite | None:
        """Read a file; return `None` if it is no suite. All problems go to the log."""
        self.inputs.add(path)
        text = read_text(path, self._log)
        document = None if text is None else parse_document(str(path), text, self._log)
        if text is None or document is None:
            return None
        root, place, report = document
        if root is None:
            report.add(place, "empty-file", "the file is empty: it needs at least `apiVersion` and `tests`")
            return None
        kind = _kind(root)
        required = ("apiVersion",) if kind is SuiteKind.CEDAR else ("apiVersion", "tests")
        fields = Fields.of(root, place, report, KINDS[kind], required)
        if fields is None or not isinstance(root, Mapping):
            return None
        check_api_version(fields)
        head = _Head(path, text, root, fields, report, self._log, kind)
        name = fields.line("suite") if "suite" in fields else _default_name(path)
        description, skip = fields.prose("description"), fields.prose("skip")
        return Suite(name, str(path), kind, str(path), self._tests(head), description, skip)

    def _tests(self, head: _Head) -> tuple[Test, ...]:
        match head.kind:
            case SuiteKind.ENTITLEMENTS:
                return self._entitlements(head)
            case SuiteKind.ROLES:
                return self._roles(head)
            case SuiteKind.CEDAR:
                return self._cedar(head)

    def _entitlements(self, head: _Head) -> tuple[Test, ...]:
        """Read a suite about entitlements. Problems of its catalog, or missing files, are reported alone."""
        environment = self._entitlement_environment(head)
        if environment is None:
            return ()
        self.environments[environment.key] = environment
        return read_tests(
            head.fields, CHECK_TEST_KEYS, head.report, CheckTests(environment, head.fields, head.report).cases
        )

    def _entitlement_environment(self, head: _Head) -> EntitlementEnvironment | None:
        suite, report = head.fields, head.report
        before = report.count
        rules = self._path(head, suite, "rules", is_folder=True) if "rules" in suite else None
        files = self._paths(head, suite, "subjects") if "subjects" in suite else []
        inline = sorted(INLINE_KEYS & suite.entries.keys())
        if "catalog" in suite:
            for key in inline:
                report.add(
                    suite.key_place(key),
                    "key-conflict",
                    f"`{key}` cannot stand beside `catalog`: write one or the other",
                )
            paths = self._paths(head, suite, "catalog")
            if self._published is not None:
                paths, rules = list(self._published.catalog), self._published.rules
                self.inputs.update(paths if rules is None else (*paths, rules))
            compiled = self._cache.catalog(paths, rules, head.log) if paths and report.count == before else None
        elif inline:
            document = (head.root.only(INLINE_KEYS | {"apiVersion"}), suite.place, report)
            compiled = self._cache.inline(document, head.text, rules, head.log)
        else:
            message = "there is nothing to test: write `catalog`, or `features` and `items`, or `roles`, or `cedar`"
            report.add(suite.place, "missing-key", message)
            return None
        if compiled is None or report.count > before:
            return None
        index = compiled.bundle.index
        subjects = read_subject_fixtures(suite, files, index, compiled.bounds, report, head.log)
        return EntitlementEnvironment(str(head.path), compiled, subjects)

    def _roles(self, head: _Head) -> tuple[Test, ...]:
        file, text = f"{SHIPPED} roles", builtin_text("roles")
        if head.fields.entries["roles"] != SHIPPED:
            path = self._path(head, head.fields, "roles", words=(SHIPPED,))
            read = None if path is None else read_text(path, head.log)
            if read is None:
                return ()
            file, text = str(path), read
        roles = self._cache.roles(file, text, head.log)
        if roles is None:
            return ()
        environment = RoleEnvironment(str(head.path), roles, "" if head.fields.entries["roles"] == SHIPPED else file)
        self.environments[environment.key] = environment
        return read_tests(
            head.fields, ROLE_TEST_KEYS, head.report, RoleTests(environment, head.fields, head.report).cases
        )

    def _cedar(self, head: _Head) -> tuple[Test, ...]:
        before = head.log.count
        fields = Fields.of(
            head.fields.entries["cedar"], head.fields.at("cedar"), head.report, CEDAR_KEYS, ("tests", "policies")
        )
        if fields is None or head.log.count > before:
            return ()
        schema = self._path(head, fields, "schema") if "schema" in fields else None
        files = CedarFiles(self._paths(head, fields, "tests"), self._paths(head, fields, "policies"), schema)
        if head.log.count > before:
            return ()
        environment = read_cedar_environment(str(head.path), files, head.log)
        tests = read_cedar_tests(files.tests, head.log)
        if environment is None:
            return ()
        self.environments[environment.key] = environment
        if not tests and head.log.count == before:
            fields.problem("tests", "no-tests", "the files contain no test")
        return tests

    def _path(
        self, head: _Head, fields: Fields, key: str, *, is_folder: bool = False, words: Collection[str] = ()
    ) -> Path | None:
        """Return the path of a key: of a folder, if so; `words` may stand in its place."""
        text, place = read_line(fields.entries[key], fields.at(key), head.report, _MOST_PATH), fields.at(key)
        path = None if text is None else self._resolved(head, text, place, words)
        if path is not None and is_folder and not path.is_dir():
            head.report.add(place, "unreadable-folder", f"`{shorten(text or '')}` is no folder")
            return None
        return path

    def _paths(self, head: _Head, fields: Fields, key: str) -> list[Path]:
        node, place = fields.entries.get(key, BROKEN), fields.at(key)
        entries = [(node, place)] if isinstance(node, str) else read_list(node, place, head.report)
        texts = [(read_line(entry, at, head.report, _MOST_PATH), at) for entry, at in entries]
        paths = [self._resolved(head, text, at) for text, at in texts if text is not None]
        return [path for path in paths if path is not None]

    def _resolved(self, head: _Head, text: str, place: int, words: Collection[str] = ()) -> Path | None:
        """Return a path relative to the file that names it, in its shortest form; it must exist.

        `words`: suggestions if it does not.
        """
        joined = head.path.parent / text
        short = Path(os.path.normpath(joined))
        path = short if os.path.realpath(short) == os.path.realpath(joined) else joined
        self.inputs.add(path)
        try:
            path.stat()
        except OSError as error:
            near = find_suggestion(text, words, head.report)
            head.report.add(place, "unreadable-file", f"`{shorten(text)}` {explain_os_error(error)}", near)
            return None
        return path


def _kind(root: object) -> SuiteKind:
    entries = root.entries if isinstance(root, Mapping) else {}
    if "cedar" in entries:
        return SuiteKind.CEDAR
    return SuiteKind.ROLES if "roles" in entries else SuiteKind.ENTITLEMENTS


def _default_name(path: Path) -> str:
    """Return the file's name without its ending."""
    ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), path.suffix)
    return path.name.removesuffix(ending) or path.name
