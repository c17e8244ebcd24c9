"""Decisions in the own process."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.conformance_cases import FOLDER
from tiergate.embedded import EmbeddedSidecar
from tiergate.errors import AuthorError, CheckError, UnknownFeatureError
from tiergate.model import Check, Subject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def engine() -> EmbeddedSidecar:
    """An engine of the conformance suite, which runs all of its checks and lists in `tests/system`."""
    return EmbeddedSidecar(FOLDER / "catalog.yaml", FOLDER / "subjects.yaml")


def test_it_has_the_questions_of_a_sidecar(engine: EmbeddedSidecar) -> None:
    """A service's tests can put it in the place of one."""
    assert engine.allows("gold-customer", "analytics", otherwise=False)
    assert not engine.allows("basic-customer", "analytics", otherwise=True)
    assert engine.check("basic-customer", "seats", used=12, request_id="r").entitlement.remaining == 1
    found = engine.checks([Check(Subject("gold-customer"), "sso"), Check(Subject("gold-customer"), "sos")])
    assert not found[0]
    assert isinstance(found[1], UnknownFeatureError)
    assert found[1].suggestion == "sso"
    with pytest.raises(UnknownFeatureError):
        engine.entitlements("gold-customer", features=["sos"])
    explained = engine.explain("gold-customer", "sso", at=datetime(2025, 12, 1, tzinfo=UTC))
    assert explained.answer.allowed
    assert explained.sentences
    with pytest.raises(CheckError, match="offset"):
        engine.explain("gold-customer", "sso", at=datetime(2025, 12, 1))  # noqa: DTZ001 - the mistake


def test_arguments_are_those_of_a_sidecar(engine: EmbeddedSidecar) -> None:
    """A misspelt one is an error, and a moment is floored to the millisecond."""
    asks: tuple[Callable[..., object], ...] = engine.check, engine.explain, partial(engine.allows, otherwise=False)
    for ask in asks:
        with pytest.raises(TypeError, match="amout"):
            ask("basic-customer", "seats", amout=14)
    before = datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)  # when a suspension has not begun
    assert engine.explain("gold-customer", "sso", at=before).answer.allowed


def test_outcomes_go_nowhere(engine: EmbeddedSidecar) -> None:
    """But a misspelt feature is a mistake."""
    with engine.measure("sso"):
        engine.flush_outcomes()
    assert engine.outcome("sso", ok=True, wait=True) is False
    assert (engine.outcomes("sso"), engine.outcomes_lost) == ([], 0)
    reports: tuple[Callable[[], object], ...] = (
        lambda: engine.outcome("sos", ok=True),
        lambda: engine.measure("sos"),
        lambda: engine.outcomes("sos"),
    )
    for report in reports:
        with pytest.raises(UnknownFeatureError):
            report()


def test_ids_are_normalized(tmp_path: Path) -> None:
    """As by a sidecar: two ways to write the same letters are one id."""
    (tmp_path / "subjects.yaml").write_text(
        "apiVersion: tiergate/v1\n"
        "customers: [{id: Zo\u00eb, overrides: [{feature: analytics, value: true, reason: pilot}]}]\n",
        encoding="utf-8",
    )
    engine = EmbeddedSidecar(FOLDER / "catalog.yaml", tmp_path / "subjects.yaml")
    zoe = "Zoe\u0308"

    assert engine.check(zoe, "analytics").reason == engine.explain(zoe, "analytics").answer.reason == "granted"
    assert [it.reason for it in engine.entitlements(zoe, features=["analytics"])] == ["granted"]


def test_time_is_what_the_clock_says() -> None:
    """A suspension that begins later does not count yet."""
    files = FOLDER / "catalog.yaml", FOLDER / "subjects.yaml"
    before = EmbeddedSidecar(*files, clock=datetime(2025, 12, 31, tzinfo=UTC).timestamp)
    after = EmbeddedSidecar([files[0]], [files[1]], clock=datetime(2026, 1, 1, tzinfo=UTC).timestamp)
    answers = [one.check("gold-customer", "sso") for one in (before, after)]
    assert [answer.allowed for answer in answers] == [True, False]


def test_files_with_problems_are_refused(tmp_path: Path) -> None:
    """With their places."""
    wrong = tmp_path / "catalog.yaml"
    wrong.write_text("apiVersion: tiergate/v1\nfeatures: [{id: a}]\n")
    with pytest.raises(AuthorError, match=r"catalog\.yaml:2"):
        EmbeddedSidecar(wrong, [])
