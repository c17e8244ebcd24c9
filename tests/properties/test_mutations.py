"""Tests against mutants: what tests cover, they notice; what they would not notice, coverage says.

The mutants are made from the text of compiled files, and the tests are really run against each; coverage is measured
beforehand, on what is not mutated.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.example_counts import part_of_examples
from tests.properties.documents import Document, worlds
from tests.properties.engines import World as Drawn
from tests.properties.engines import check_of
from tests.properties.inquiries import Inquirer
from tests.properties.mutants import Claim, Mutant, catalog_mutants, part_mutants, policy_mutants, value_mutants
from tests.properties.rules import rule_files
from tiergate.bundle import Bundle
from tiergate.catalog import CatalogPositions, LoadedCatalog
from tiergate.cedar import PolicyGroup, builtin_text, parse_policies
from tiergate.compiler.role_table import RoleTable
from tiergate.errors import TiergateError
from tiergate.model import Rules
from tiergate.permissions import RolePolicies
from tiergate.policytest.compilation_cache import CompiledCatalog
from tiergate.policytest.coverage import Coverage, Mark, Recorder
from tiergate.policytest.environments import EntitlementEnvironment, Environment, RoleEnvironment
from tiergate.policytest.expectation_comparison import (
    compare_decision,
    compare_permission,
    entitlement_value,
    source_name,
)
from tiergate.policytest.runner import LoadedSuites, Runner
from tiergate.policytest.subject_fixtures import SubjectFixtures
from tiergate.policytest.suites import Case, EntitlementQuery, Expectation, PermissionQuery, Suite, SuiteKind, Test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tiergate.model import Decision

ROOT = Path(__file__).parents[2]
SHOWCASE = (ROOT / "policies", ROOT / "examples")
SHIPPED = ("guards", "overrides", "reasons")

MutantOf = tuple[Mutant, "Callable[[Environment], Environment]"]
"""A mutant, and what makes a world of it; worlds that it does not concern stay the same."""


@cache
def showcase() -> LoadedSuites:
    """The tests of the guards, the roles, and the samples."""
    return Runner().read_suites(SHOWCASE)


@cache
def showcase_mutants() -> tuple[MutantOf, ...]:
    """Every mutant of what the showcase is about."""
    return tuple(mutants_of(showcase()))


def files_of(bundle: Bundle) -> dict[str, bytes]:
    """All files of a bundle."""
    return {path: bundle.content(path) for path in bundle.paths()}


def mutated(world: EntitlementEnvironment, mutant: Mutant) -> EntitlementEnvironment:
    """A world with one file of its bundle otherwise."""
    bundle = Bundle.from_files(files_of(world.bundle) | {mutant.path: mutant.content})
    return EntitlementEnvironment(world.key, dataclasses.replace(world.compiled, bundle=bundle), world.subjects)


def in_bundles(mutant: Mutant, original: bytes) -> Callable[[Environment], Environment]:
    """The mutant of a file wherever a bundle holds this very file."""

    def change(world: Environment) -> Environment:
        if not isinstance(world, EntitlementEnvironment) or mutant.path not in world.bundle.paths():
            return world
        return mutated(world, mutant) if world.bundle.content(mutant.path) == original else world

    return change


def in_tables(mutant: Mutant, table: str) -> Callable[[Environment], Environment]:
    """The mutant of a table of roles, or of the guards of keys."""

    def change(world: Environment) -> Environment:
        if not isinstance(world, RoleEnvironment) or world.roles.text != table:
            return world
        texts = {"roles": table, "scopes": builtin_text("scopes"), mutant.path: mutant.content.decode()}
        policies = [*parse_policies(texts["roles"]), *parse_policies(texts["scopes"])]
        group = PolicyGroup.of((it.id, it) for it in policies)
        return RoleEnvironment(world.key, RolePolicies(RoleTable(table, group, world.roles.roles, ())))

    return change


def mutants_of(loaded: LoadedSuites) -> Iterator[MutantOf]:
    """Every mutant of every file that these suites are about, each once."""
    seen: set[tuple[str, bytes]] = set()
    for world in loaded.environments.values():
        if isinstance(world, RoleEnvironment):
            for path, text in {"roles": world.roles.text, "scopes": builtin_text("scopes")}.items():
                if (path, text.encode()) not in seen:
                    seen.add((path, text.encode()))
                    yield from ((it, in_tables(it, world.roles.text)) for it in policy_mutants(path, text))
        elif isinstance(world, EntitlementEnvironment):
            files = files_of(world.bundle)
            fields = () if world.compiled.is_inline else catalog_mutants(files)
            for mutant in (*value_mutants(files), *fields, *static_mutants(files)):
                if (mutant.path, mutant.content) not in seen:
                    seen.add((mutant.path, mutant.content))
                    yield mutant, in_bundles(mutant, files[mutant.path])


def static_mutants(files: Mapping[str, bytes]) -> Iterator[Mutant]:
    """The mutants of guards, overrides' permits, reasons and rules."""
    for name in SHIPPED:
        yield from policy_mutants(f"policies/{name}.cedar", files[f"policies/{name}.cedar"].decode())
    for path, content in files.items():
        if path.startswith("policies/rules/"):
            file = path.removeprefix("policies/rules/").removesuffix(".cedar")
            yield from policy_mutants(path, content.decode(), f"rule/{file}/")


def is_noticed(loaded: LoadedSuites, change: Callable[[Environment], Environment]) -> bool:
    """Run the tests against a mutant, until one fails."""
    worlds = {key: change(world) for key, world in loaded.environments.items()}
    return any(
        not passes(worlds[suite.environment], case)
        for suite in loaded.suites
        if worlds[suite.environment] is not loaded.environments[suite.environment]
        for test in suite.tests
        for case in test.cases
    )


def passes(world: Environment, case: Case) -> bool:
    """Decide a case, and compare; without asking why, which would be told of policies as they are shipped."""
    match world, case.query:
        case EntitlementEnvironment(), EntitlementQuery() as asked:
            return not compare_decision(case.expected, world.evaluate(asked).decision)
        case RoleEnvironment(), PermissionQuery() as permitted:
            return not compare_permission(case.expected, world.allows(permitted))
        case _:
            raise AssertionError(case)


def coverage_of(loaded: LoadedSuites) -> Coverage:
    """Run the tests, all of which must pass, and measure."""
    recorder = Recorder(loaded.environments.values())
    assert Runner().run(loaded, observers=[recorder]).has_passed
    return recorder.coverage(shipped=True)


def marks(coverage: Coverage) -> dict[Claim, set[Mark]]:
    """The marks by what they are claimed of; ids of different files may be the same."""
    found: dict[Claim, set[Mark]] = {}
    for it in coverage.measured:
        claim = Claim(it.target.id, it.target.aspect.value, it.target.clause, it.target.part)
        found.setdefault(claim, set()).add(it.mark)
    return found


def with_some_tests(loaded: LoadedSuites, random: Random) -> LoadedSuites:
    """The same suites with some of their cases only."""
    share = random.choice([0.02, 0.1, 0.3, 0.7])

    def some(test: Test) -> Test:
        return dataclasses.replace(test, cases=tuple(case for case in test.cases if random.random() < share))

    suites = tuple(dataclasses.replace(suite, tests=tuple(map(some, suite.tests))) for suite in loaded.suites)
    return LoadedSuites(suites, loaded.environments)


def check_mutant(loaded: LoadedSuites, measured: Mapping[Claim, set[Mark]], mutant: MutantOf) -> str:
    """What is not noticed is not covered; where coverage is exact, what is not covered is not noticed.

    Of a policy, what is not counted can never be noticed; nor can values be, but in catalogs written in test files.
    Where a policy cannot be evaluated it covers nothing, although a test may notice that it is gone.
    """
    found, change = mutant
    claimed = [measured[claim] for claim in found.claims if claim in measured]
    noticed = is_noticed(loaded, change)
    if not claimed:
        assert not noticed or found.optional or is_of_a_fixture(loaded, found), (
            f"{found.name} is noticed, but not counted"
        )
        return "not counted"
    if not noticed:
        assert all(it != {Mark.COVERED} for it in claimed), f"nobody notices {found.name}, but it counts as covered"
        return "not noticed"
    if found.exact and not (found.path.startswith("policies/") and errs(loaded)):
        assert all(Mark.COVERED in it for it in claimed), f"{found.name} is noticed, but does not count as covered"
    return "noticed"


def errs(loaded: LoadedSuites) -> bool:
    """Say whether a case expects that a policy cannot be evaluated."""
    return any(
        isinstance(world, EntitlementEnvironment)
        and isinstance(asked := case.query, EntitlementQuery)
        and world.evaluate(asked).decision.errors
        for suite in loaded.suites
        for world in [loaded.environments[suite.environment]]
        for test in suite.tests
        for case in test.cases
    )


def is_of_a_fixture(loaded: LoadedSuites, mutant: Mutant) -> bool:
    """Say whether a mutant is of a value that stands in a test file."""
    return mutant.path.startswith("entities/items/") and any(
        isinstance(world, EntitlementEnvironment) and world.compiled.is_inline and mutant.path in world.bundle.paths()
        for world in loaded.environments.values()
    )


def test_the_showcase_covers_everything() -> None:
    """The guards, the roles and the samples of this project are tested to the last unit."""
    assert [(it.target.id, it.target.aspect) for it in coverage_of(showcase()).missing] == []


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_tests_that_cover_everything_notice_every_mutant(every: int) -> None:
    """Of values, guards, overrides, reasons, rules, roles and the guards of keys; or every tenth of these."""
    loaded = showcase()
    measured = marks(coverage_of(loaded))
    survivors = [
        mutant.name
        for mutant, change in showcase_mutants()[::every]
        if any(claim in measured for claim in mutant.claims) and not is_noticed(loaded, change)
    ]
    assert survivors == []


@settings(max_examples=part_of_examples(10))
@given(st.integers(0, 2**32))
def test_of_tests_taken_at_random_coverage_says_what_they_would_not_notice(seed: int) -> None:
    """However few are left of them."""
    random = Random(seed)
    loaded = with_some_tests(showcase(), random)
    measured = marks(coverage_of(loaded))
    for mutant in random.sample(showcase_mutants(), 12):
        event(check_mutant(loaded, measured, mutant))


class _Cases:
    """Cases of a drawn world, each of which states some of what is decided there."""

    def __init__(self, world: EntitlementEnvironment, seed: int) -> None:
        self._world = world
        self._random = Random(seed)

    def make(self, asks: Iterable[tuple[int, Document]]) -> Suite:
        """A suite of one test."""
        cases = [self._case(EntitlementQuery(check_of(ask), now)) for now, ask in asks]
        test = Test("drawn", ("drawn", 1, 1), tuple(cases))
        return Suite("drawn", "drawn", SuiteKind.ENTITLEMENTS, self._world.key, (test,))

    def _case(self, asked: EntitlementQuery) -> Case:
        decision = self._world.evaluate(asked).decision
        check = asked.check
        return Case(check.subject.id, check.feature, "", asked, self._stated(decision), ("drawn", 1, 1), stated=True)

    def _stated(self, decision: Decision) -> Expectation:
        """What is decided, or a part of it: always whether it is allowed."""
        values: dict[str, Any] = {
            "reason": decision.reason,
            "sources": tuple(source_name(source) for source in decision.sources),
            "policies": decision.policies,
            "remaining": None if decision.entitlement.remaining is msgspec.UNSET else decision.entitlement.remaining,
        }
        stated = {key: value for key, value in values.items() if self._random.random() < 0.25}
        if self._random.random() < 0.25:
            stated |= {"has_value": True, "value": entitlement_value(decision.entitlement)}
        return Expectation(allowed=decision.allowed, **stated)


@given(worlds(), st.data(), st.integers(0, 2**32))
def test_in_any_world_coverage_says_what_its_tests_would_not_notice(
    drawn: tuple[Document, Document], data: st.DataObject, seed: int
) -> None:
    """Whatever catalogs, subjects and rules say, and whatever tests of them state."""
    world = world_of(Drawn(*drawn, data.draw(rule_files(*drawn), label="rules")))
    suite = _Cases(world, seed).make(Inquirer(*drawn, seed).asks(nows=3, checks=5))
    loaded = LoadedSuites((suite,), {world.key: world})
    measured = marks(coverage_of(loaded))
    mutants = list(mutants_of(loaded))
    random = Random(seed)
    for mutant in random.sample(mutants, min(10, len(mutants))):
        event(check_mutant(loaded, measured, mutant))


@settings(max_examples=settings.default.max_examples // 2)  # type: ignore[union-attr]
@given(worlds(), st.data(), st.integers(0, 2**32))
def test_a_rule_whose_units_are_all_covered_has_no_part_that_could_be_otherwise(
    drawn: tuple[Document, Document], data: st.DataObject, seed: int
) -> None:
    """An operator or a number that is otherwise is noticed, or its rule has a unit that is not covered.

    Unless no check shows it: none of many that are made at random.
    """
    world = world_of(Drawn(*drawn, data.draw(rule_files(*drawn), label="rules")))
    suite = _Cases(world, seed).make(Inquirer(*drawn, seed).asks(nows=4, checks=12))
    loaded = LoadedSuites((suite,), {world.key: world})
    measured = coverage_of(loaded).measured
    incomplete = {it.target.id for it in measured if it.mark is not Mark.COVERED}
    files = files_of(world.bundle)
    found = list(parts_of(files))
    random = Random(seed)
    for rule, mutant in random.sample(found, min(6, len(found))):
        change = in_bundles(mutant, files[mutant.path])
        try:
            other = change(world)
        except TiergateError:
            continue  # nobody could publish it
        if rule in incomplete or is_noticed(loaded, change):
            event("noticed, or not covered")
            continue
        assert isinstance(other, EntitlementEnvironment)
        for now, ask in Inquirer(*drawn, seed + 1).asks(nows=4, checks=12):
            query = EntitlementQuery(check_of(ask), now)
            decided, otherwise = (it.evaluate(query).decision for it in (world, other))
            assert (decided.allowed, decided.reason) == (otherwise.allowed, otherwise.reason), mutant.name
        event("shown by no check")


def parts_of(files: Mapping[str, bytes]) -> Iterator[tuple[str, Mutant]]:
    """The mutants of parts of all rules, each with its rule."""
    for path, content in files.items():
        if path.startswith("policies/rules/"):
            file = path.removeprefix("policies/rules/").removesuffix(".cedar")
            yield from part_mutants(path, content.decode(), f"rule/{file}/")


def world_of(drawn: Drawn) -> EntitlementEnvironment:
    """A drawn world as the runner has it."""
    records = drawn.records.values()
    subjects = SubjectFixtures([it.customer for it in records], [held for it in records for held in it.subscriptions])
    return EntitlementEnvironment(
        "drawn", CompiledCatalog(LoadedCatalog(drawn.catalog, CatalogPositions()), Rules(), drawn.bundle), subjects
    )
