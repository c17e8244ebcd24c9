"""Reading and running test files: whatever stands in them, and in whatever order their cases are run."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.docs.pages import ROOT, examples
from tiergate.engine import Evaluator
from tiergate.errors import SuiteError
from tiergate.model import MeteredUsage
from tiergate.policytest.environments import EntitlementEnvironment
from tiergate.policytest.results import Status
from tiergate.policytest.runner import Runner
from tiergate.policytest.suites import EntitlementQuery

if TYPE_CHECKING:
    from tiergate.model import Feature, Instant, Subject
    from tiergate.policytest.suites import Case, Suite

SUITES: Final = [example.text for example in examples(ROOT / "docs" / "reference" / "test-file.md")] + [
    path.read_text(encoding="utf-8")
    for path in sorted(ROOT.glob("policies/*_test.yaml"))
    if path.name != "roles_test.yaml"  # it names a file beside it
]

PIECES: Final = ["null", "[]", "{}", "1", "x", "- ", ": ", "true", "'", "{a: b}", "\n", "\t", "~", "2026-01-01"]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A test file in which something was lost, put in, or exchanged."""
    text = draw(st.sampled_from(SUITES))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text) - 1))
        match draw(st.sampled_from(["lose", "put", "lines", "words"])):
            case "lose":
                text = text[:at] + text[at + draw(st.integers(1, 4)) :]
            case "put":
                text = text[:at] + draw(st.sampled_from(PIECES)) + text[at:]
            case "lines":
                lines = text.splitlines(keepends=True)
                one, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
                lines[one], lines[other] = lines[other], lines[one]
                text = "".join(lines)
            case _:
                words = sorted(set(re.findall(r"[\w-]+", text))) or ["x"]
                one_word, other_word = draw(st.sampled_from(words)), draw(st.sampled_from(words))
                text = re.sub(rf"\b{re.escape(one_word)}\b", other_word, text, count=1)
    return text


@given(damaged())
def test_a_damaged_file_is_refused_or_runs(text: str) -> None:
    """Nothing but problems with places comes of it; what can be read can be decided, every case of it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "damaged_test.yaml"
        path.write_text(text, encoding="utf-8")
        runner = Runner()
        try:
            loaded = runner.read_suites([path])
        except SuiteError as error:
            problems = error.problems
        else:
            assert not runner.run(loaded).count(Status.ERROR)
            return
    assert problems
    assert all(problem.file for problem in problems)


class _Usage:
    """The usage of one case."""

    def __init__(self, usage: MeteredUsage | None) -> None:
        self._usage = usage or MeteredUsage()

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:  # noqa: ARG002
        """What the case says."""
        return self._usage


RUNNER: Final = Runner()
LOADED: Final = RUNNER.read_suites([ROOT / "policies", ROOT / "examples"])


def _cases() -> list[tuple[EntitlementEnvironment, Case]]:
    found = []
    for suite in LOADED.suites:
        world = LOADED.environment(suite)
        if isinstance(world, EntitlementEnvironment):
            found += [(world, case) for test in suite.tests for case in test.cases]
    return found


@given(st.lists(st.sampled_from(_cases()), min_size=1, max_size=6))
def test_a_case_is_decided_as_if_it_were_the_only_one(chosen: list[tuple[EntitlementEnvironment, Case]]) -> None:
    """Whatever was decided before it, at whatever instant and with whatever usage: as a fresh engine decides it."""
    for world, case in chosen:
        assert isinstance(case.query, EntitlementQuery)
        asked = case.query
        fresh = Evaluator(world.bundle, world.subjects, usage=_Usage(asked.usage))
        assert world.evaluate(asked).decision == fresh.decide(asked.check, asked.now)


@pytest.mark.parametrize("suite", LOADED.suites, ids=lambda suite: suite.name)
def test_backwards_is_as_forwards(suite: Suite) -> None:
    """The order in which cases are run makes no difference to any."""
    cases = [case for test in suite.tests for case in test.cases]
    forwards = [RUNNER.run_case(LOADED, suite, case) for case in cases]
    backwards = [RUNNER.run_case(LOADED, suite, case) for case in reversed(cases)]
    assert [(it.status, it.actual) for it in forwards] == [(it.status, it.actual) for it in reversed(backwards)]
