"""Pages that lead by the hand."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.docs.pages import ROOT, examples
from tests.docs.walkthrough import walk_through

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [
    "README.md",
    "docs/tutorial/count-and-limit.md",
    "docs/tutorial/first-check.md",
    "docs/tutorial/publish-a-plan.md",
    "docs/tutorial/test-a-plan.md",
    "docs/how-to/ask-from-a-service.md",
    "docs/how-to/choose-a-fail-mode.md",
    "docs/how-to/explain-a-decision.md",
    "docs/how-to/name-features-in-code.md",
    "docs/how-to/replay-a-decision.md",
    "docs/how-to/run-the-sidecar.md",
    "docs/how-to/test-in-pytest.md",
    "docs/how-to/use-cedars-own-tests.md",
    "docs/how-to/write-and-test-rules.md",
    "docs/reference/coverage.md",
    "docs/explanation/consistency-and-failure-modes.md",
]


NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="no `curl` on the path")
OTHER_LANGUAGES = ("go", "node")


@pytest.mark.walkthrough
@NEEDS_CURL
@pytest.mark.parametrize("page", PAGES)
def test_a_reader_sees_what_the_page_says(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file, command and output of the page is true, in its order, with a real sidecar."""
    monkeypatch.chdir(tmp_path)
    walk_through(ROOT / page, tmp_path, passed_over=OTHER_LANGUAGES)


@pytest.mark.slow
@NEEDS_CURL
def test_other_languages_do_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs in Go and Node do too, where these are installed; Go is slow to build the first time."""
    missing = [program for program in OTHER_LANGUAGES if shutil.which(program) is None]
    monkeypatch.chdir(tmp_path)
    walk_through(ROOT / "docs" / "how-to" / "ask-from-a-service.md", tmp_path, passed_over=missing)


def test_the_pipeline_runs_what_the_reader_ran() -> None:
    """The workflow of the tutorial is well-formed, and runs the script with arguments that the page shows to work."""
    page = ROOT / "docs" / "tutorial" / "test-a-plan.md"
    shown = [example.text for example in examples(page)]
    workflow = next(yaml.safe_load(text) for text in shown if text.startswith("name: plans"))
    steps = [(job, step) for job in workflow["jobs"].values() for step in job["steps"]]
    run = {step["run"]: job.get("if") for job, step in steps if "gate.sh" in step.get("run", "")}
    assert run == {
        "sh gate.sh check": "github.event_name == 'pull_request'",
        "sh gate.sh publish": "github.event_name == 'push'",
    }
    assert all(any(text.startswith(f"$ {command}") or f"\n$ {command}" in text for text in shown) for command in run)
