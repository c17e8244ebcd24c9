"""Compiles the catalogs, rules and role tables that suites name, each content once.

A result is kept for as long as each reading uses its content, so that a watched run compiles only what changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tiergate.bundle import Bundle
from tiergate.catalog import TotalBounds, load_catalog_texts, read_catalog, read_rules
from tiergate.catalog.loader import CATALOG_ENDINGS
from tiergate.catalog.reading.files import expand_paths, read_text
from tiergate.errors import AuthorError
from tiergate.model import Rules
from tiergate.permissions import RolePolicies
from tiergate.publish import compile_loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tiergate.catalog import LoadedCatalog, ProblemLog, TextReport
    from tiergate.catalog.reading.document import Node
    from tiergate.model import Problem

_Compiled = TypeVar("_Compiled", "CompiledCatalog", RolePolicies)


@dataclass(frozen=True, eq=False)
class CompiledCatalog:
    """A catalog with rules, compiled in memory. `loaded` has the positions of the catalog's parts.

    `rules_folder`: the folder of the rules, empty if there is none. `is_inline`: the catalog is part of a test file.
    """

    loaded: LoadedCatalog
    rules: Rules
    bundle: Bundle
    rules_folder: str = ""
    is_inline: bool = False

    @cached_property
    def bounds(self) -> TotalBounds:
        """The bounds of totals."""
        return TotalBounds.of(self.loaded.catalog)


class CompilationCache:
    """Compiles what suites name. Call `start_reading` before each reading of suites."""

    def __init__(self) -> None:
        self._current: dict[str, CompiledCatalog | RolePolicies | list[Problem]] = {}
        self._previous = self._current

    def start_reading(self) -> None:
        """Start another reading: results that the reading before did not use are dropped."""
        self._previous, self._current = self._current, {}

    def catalog(self, paths: Sequence[Path], folder: Path | None, log: ProblemLog) -> CompiledCatalog | None:
        """Compile the catalog of files or folders with the rules of a folder; return `None` after any problem."""
        before = log.count
        texts = {str(path): read_text(path, log) or "" for path in expand_paths(paths, CATALOG_ENDINGS, log)}
        rules = _read_rules(folder, log)
        if log.count > before:
            return None

        def compile_files() -> CompiledCatalog:
            return _compile(load_catalog_texts(texts), rules, folder)

        return self._once(CompiledCatalog, compile_files, log, "catalog", str(folder), rules, *texts.items())

    def inline(
        self, document: tuple[Node, int, TextReport], text: str, folder: Path | None, log: ProblemLog
    ) -> CompiledCatalog | None:
        """Compile the catalog inside a suite of this text; return `None` after any problem. `log` has its report."""
        before = log.count
        rules = _read_rules(folder, log)
        # Read each time, which costs little beside compiling, so that its problems are reported each time.
        loaded = read_catalog([document], log)
        if loaded is None or log.count > before:
            return None
        file = document[2].source.file
        return self._once(
            CompiledCatalog, lambda: _compile(loaded, rules, folder, is_inline=True), log, "inline", file, text, rules
        )

    def roles(self, file: str, text: str, log: ProblemLog) -> RolePolicies | None:
        """Parse the role table in a text; return `None` after any problem."""
        return self._once(RolePolicies, lambda: RolePolicies.parse(text, file), log, "roles", file, text)

    def _once(
        self, kind: type[_Compiled], compile_: Callable[[], _Compiled], log: ProblemLog, *content: object
    ) -> _Compiled | None:
        key = hashlib.sha256(msgspec.json.encode(content)).hexdigest()
        result = self._current.get(key, self._previous.get(key))
        if result is None:
            try:
                result = compile_()
            except AuthorError as error:
                result = list(error.problems)
        self._current[key] = result
        if isinstance(result, kind):
            return result
        _log_problems(result if isinstance(result, list) else (), log)
        return None


def _read_rules(folder: Path | None, log: ProblemLog) -> Rules:
    if folder is None:
        return Rules()
    try:
        return read_rules(folder)
    except AuthorError as error:
        _log_problems(error.problems, log)
        return Rules()


def _log_problems(problems: Iterable[Problem], log: ProblemLog) -> None:
    for problem in problems:
        log.add((problem.file, problem.line, problem.column), problem.code, problem.message, problem.suggestion)


def _compile(loaded: LoadedCatalog, rules: Rules, folder: Path | None, *, is_inline: bool = False) -> CompiledCatalog:
    rules_folder = "" if folder is None else str(folder)
    compiled = compile_loaded(loaded, rules, rules_folder)
    return CompiledCatalog(loaded, rules, Bundle.from_files(compiled.files), rules_folder, is_inline)
