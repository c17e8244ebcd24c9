"""Worlds: what the cases of a suite are decided against.

A catalog and rules are compiled, and a table of roles is parsed, once for all suites that name the same ones and for
as long as their content stays the same, so that watching files costs no more than what changed.
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
from tiergate.cedar import authorize_request
from tiergate.engine import Engine, MeteredUsage, explain
from tiergate.errors import AuthorError
from tiergate.model import Rules
from tiergate.permissions import RolePolicies
from tiergate.publish import compile_loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tiergate.catalog import LoadedCatalog, ProblemLog, TextReport
    from tiergate.catalog.reading.document import Node
    from tiergate.cedar import CedarResult, PolicyGroup, Schema
    from tiergate.engine import Evaluation, Explanation
    from tiergate.model import Catalog, CatalogIndex, Feature, Instant, Problem, Subject
    from tiergate.permissions import Permission
    from tiergate.policytest.subject_fixtures import SubjectFixtures
    from tiergate.policytest.suites import CedarQuery, EntitlementQuery, PermissionQuery

_NOTHING_USED = MeteredUsage()
_Made = TypeVar("_Made", "CompiledCatalog", RolePolicies)


@dataclass(frozen=True, eq=False)
class CompiledCatalog:
    """A catalog with rules, compiled in memory. `loaded` says where the catalog's parts stand.

    `rules_folder`: where the rules do, empty where there are none. `is_inline`: the catalog stands in a test file
    itself, and is there for its tests.
    """

    loaded: LoadedCatalog
    rules: Rules
    bundle: Bundle
    rules_folder: str = ""
    is_inline: bool = False

    @cached_property
    def bounds(self) -> TotalBounds:
        """How large totals can become."""
        return TotalBounds.of(self.loaded.catalog)


class _CaseUsage:
    """The usage that is known in the case at hand."""

    def __init__(self) -> None:
        self.now = _NOTHING_USED

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:  # noqa: ARG002 - it is the case's
        """What the case says."""
        return self.now


class EntitlementEnvironment:
    """A compiled catalog with rules, and the subjects of a suite."""

    def __init__(self, key: str, compiled: CompiledCatalog, subjects: SubjectFixtures) -> None:
        self.key = key
        self.compiled = compiled
        self.subjects = subjects
        self._usage = _CaseUsage()

    @property
    def loaded(self) -> LoadedCatalog:
        """The catalog, and where its parts stand in the files."""
        return self.compiled.loaded

    @property
    def catalog(self) -> Catalog:
        """The catalog."""
        return self.compiled.loaded.catalog

    @property
    def rules(self) -> Rules:
        """The rules beside the catalog, as text."""
        return self.compiled.rules

    @property
    def bundle(self) -> Bundle:
        """What the catalog and the rules compile to."""
        return self.compiled.bundle

    @property
    def index(self) -> CatalogIndex:
        """Features and items."""
        return self.compiled.bundle.index

    @cached_property
    def engine(self) -> Engine:
        """What decides. Ask it through `evaluate` and `explain`, which know the usage of the case."""
        return Engine(self.compiled.bundle, self.subjects, usage=self._usage)

    def evaluate(self, asked: EntitlementQuery) -> Evaluation:
        """Decide a check, and keep what the decision rested on.

        Raises:
            UnknownFeatureError, CheckError: as `Engine.evaluate`.
        """
        self._usage.now = _NOTHING_USED if asked.usage is None else asked.usage
        return self.engine.evaluate(asked.check, asked.now)

    def explain(self, asked: EntitlementQuery) -> Explanation:
        """Decide a check and lay open why.

        Raises:
            UnknownFeatureError, CheckError: as `Engine.evaluate`.
        """
        self._usage.now = _NOTHING_USED if asked.usage is None else asked.usage
        return explain(self.engine, asked.check, asked.now)


class RoleEnvironment:
    """A table of roles; `file`: where it stands, empty for the one that is shipped."""

    def __init__(self, key: str, roles: RolePolicies, file: str = "") -> None:
        self.key = key
        self.roles = roles
        self.file = file

    def allows(self, asked: PermissionQuery) -> Permission:
        """Ask the table."""
        return self.roles.allows(asked.caller, asked.action, asked.resource)


class CedarEnvironment:
    """Policies by themselves, with a schema where there is one; they go by their `@id`, else by their place."""

    def __init__(self, key: str, policies: PolicyGroup, schema: Schema | None) -> None:
        self.key = key
        self.policies = policies
        self.schema = schema

    def authorize(self, asked: CedarQuery) -> CedarResult:
        """Evaluate a request.

        Raises:
            ValueError: Cedar refuses the request or its entities; the message is Cedar's.
        """
        return authorize_request(
            self.policies, asked.entities, self.schema, asked.principal, asked.action, asked.resource, asked.context
        )


class CompilationCache:
    """Compiles and parses what suites name: each content once, for as long as every reading has a use for it."""

    def __init__(self) -> None:
        self._made: dict[str, CompiledCatalog | RolePolicies | list[Problem]] = {}
        self._before = self._made

    def turn(self) -> None:
        """Begin another reading: what the one before did not use is forgotten."""
        self._before, self._made = self._made, {}

    def catalog(self, paths: Sequence[Path], folder: Path | None, log: ProblemLog) -> CompiledCatalog | None:
        """The catalog of files or folders, with the rules of a folder; `None` after any problem."""
        before = log.count
        texts = {str(path): read_text(path, log) or "" for path in expand_paths(paths, CATALOG_ENDINGS, log)}
        rules = _rules(folder, log)
        if log.count > before:
            return None

        def make() -> CompiledCatalog:
            return _compile(load_catalog_texts(texts), rules, folder)

        return self._once(CompiledCatalog, make, log, "catalog", str(folder), rules, *texts.items())

    def inline(
        self, document: tuple[Node, int, TextReport], text: str, folder: Path | None, log: ProblemLog
    ) -> CompiledCatalog | None:
        """The catalog that stands in a suite of this text, whose report is to `log`; `None` after any problem."""
        before = log.count
        rules = _rules(folder, log)
        # Read each time, which costs little beside compiling, so that its problems are told each time.
        loaded = read_catalog([document], log)
        if loaded is None or log.count > before:
            return None
        file = document[2].source.file
        return self._once(
            CompiledCatalog, lambda: _compile(loaded, rules, folder, is_inline=True), log, "inline", file, text, rules
        )

    def roles(self, file: str, text: str, log: ProblemLog) -> RolePolicies | None:
        """The table of roles in a text; `None` after any problem."""
        return self._once(RolePolicies, lambda: RolePolicies.parse(text, file), log, "roles", file, text)

    def _once(self, kind: type[_Made], make: Callable[[], _Made], log: ProblemLog, *content: object) -> _Made | None:
        """What `make` makes of this content, or what it made of it before."""
        key = hashlib.sha256(msgspec.json.encode(content)).hexdigest()
        created = self._made.get(key, self._before.get(key))
        if created is None:
            try:
                created = make()
            except AuthorError as error:
                created = list(error.problems)
        self._made[key] = created
        if isinstance(created, kind):
            return created
        for problem in created if isinstance(created, list) else ():
            log.add((problem.file, problem.line, problem.column), problem.code, problem.message, problem.suggestion)
        return None


def _rules(folder: Path | None, log: ProblemLog) -> Rules:
    if folder is None:
        return Rules()
    try:
        return read_rules(folder)
    except AuthorError as error:
        for problem in error.problems:
            log.add((problem.file, problem.line, problem.column), problem.code, problem.message, problem.suggestion)
        return Rules()


def _compile(loaded: LoadedCatalog, rules: Rules, folder: Path | None, *, is_inline: bool = False) -> CompiledCatalog:
    rules_folder = "" if folder is None else str(folder)
    made = compile_loaded(loaded, rules, rules_folder)
    return CompiledCatalog(loaded, rules, Bundle.from_files(made.files), rules_folder, is_inline)


Environment = EntitlementEnvironment | RoleEnvironment | CedarEnvironment
"""What the cases of one suite are decided against."""
