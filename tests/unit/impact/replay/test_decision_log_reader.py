from __future__ import annotations

import gzip
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import CATALOG, NOW, Subjects, bundle, customer
from tiergate.impact.replay.decision_log_reader import STDIN, find_new_denials, open_log, read_log
from tiergate.model import Subject, format_instant

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.impact.replay.decision_log_reader import NewDenial, RecordedDecision
    from tiergate.model import Problem

LESS = CATALOG.replace("movies: 50,", "movies: 30,")
GONE = CATALOG.replace("  - {id: analytics, name: Analytics, type: switch, tags: [reports]}\n", "").replace(
    "analytics: true, ", ""
)


def line(
    request: dict[str, Any], *, allowed: bool = True, basis: dict[str, Any] | None = None, feature: str = "movies"
) -> bytes:
    """A line of a log."""
    decision = {"allowed": allowed, "reason": "granted", "feature": feature, "publication": 1, "revision": "sha256:1"}
    entry: dict[str, Any] = {"id": "d1", "time": format_instant(NOW), "request": request, "decision": decision}
    return json.dumps(entry if basis is None else {**entry, "basis": basis}).encode() + b"\n"


def read(*lines: bytes, holding: bytes = b"") -> tuple[list[RecordedDecision], list[Problem]]:
    """What is read of some lines, and what is told of them."""
    problems: list[Problem] = []
    return list(read_log(lines, "log", problems.append, holding=holding)), problems


def denied(*lines: bytes, new: str = LESS, old: str | None = CATALOG) -> tuple[list[NewDenial], list[Problem]]:
    """What would be denied of some lines by another catalog, about a customer with gold and one with silver."""
    problems: list[Problem] = []
    found = find_new_denials(
        read_log(lines, "log", problems.append),
        bundle(new),
        Subjects(customer("acme"), customer("small", "silver")).find,
        NOW,
        baseline=None if old is None else bundle(old),
        tell=problems.append,
    )
    return list(found), problems


def test_a_line_is_read_as_it_was_written() -> None:
    """Its check with exact numbers, the bytes of its decision, its basis."""
    written = line({"subject": "acme", "feature": "movies", "used": 12}, basis={"position": 7, "store": "s"})
    ((one,), problems) = read(written.replace(b'"used": 12', b'"used": 12.50'))

    assert problems == []
    assert (one.file, one.line, one.id, one.at) == ("log", 1, "d1", NOW)
    assert one.check is not None
    assert (one.check.subject, one.check.feature, str(one.check.used)) == (Subject("acme"), "movies", "12.50")
    assert one.decision in written
    assert one.verdict.revision == "sha256:1"
    assert one.basis is not None
    assert (one.basis.store, one.basis.position) == ("s", 7)


def test_a_line_that_cannot_be_read_is_told_by_its_place_and_passed_over() -> None:
    """One that is no JSON, one that is no check, one that is cut off; not an empty one."""
    good = line({"subject": "acme", "feature": "movies"})
    found, problems = read(b"{}\n", good, b"\n", line({"subject": "acme"}), good[:-9])

    assert [one.line for one in found] == [2]
    assert [(it.line, it.code) for it in problems] == [(1, "bad-line"), (4, "bad-line"), (5, "bad-line")]
    assert "cut off" in problems[2].message
    assert "/request/feature" in problems[1].message


@pytest.mark.parametrize(
    "subject",
    [{}, {"id": f"blake2b:{'01' * 16}"}, {"id": "acme", "user": f"blake2b:{'01' * 16}"}, {"type": "customer"}],
)
def test_a_masked_line_has_no_check(subject: dict[str, str]) -> None:
    """Nobody can say whom it is about."""
    ((one,), problems) = read(line({"subject": subject, "feature": "movies"}))

    assert one.check is None
    assert problems == []


def test_a_line_is_looked_for_by_what_it_holds() -> None:
    """The others are not even read."""
    found, problems = read(b"torn\n", line({"subject": "acme", "feature": "movies"}), holding=b'"d1"')

    assert [one.line for one in found] == [2]
    assert problems == []


def test_a_log_is_opened_as_a_file_packed_or_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same lines each time."""
    plain, packed = tmp_path / "log", tmp_path / "log.1.gz"
    plain.write_bytes(b"a\nb")
    packed.write_bytes(gzip.compress(b"a\nb"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\nb")))

    for path in (plain, packed, STDIN):
        with open_log(path) as lines:
            assert list(lines) == [b"a\n", b"b"]


def test_a_check_that_would_be_denied_is_found() -> None:
    """With the decision by either bundle, and how often it was asked."""
    above = {"subject": "acme", "feature": "movies", "used": 40}
    found, problems = denied(
        line(above),
        line({**above, "used": 29}),
        line(above),
        line(above, allowed=False),
        line({"subject": "small", "feature": "movies", "used": 40}),
        line({"subject": "nobody", "feature": "movies"}),
    )

    assert problems == []
    assert [(it.recorded.line, it.now.reason, it.times, it.by_change) for it in found] == [
        (1, "limit_reached", 1, True),
        (3, "limit_reached", 2, True),
        (5, "limit_reached", 1, False),
        (6, "unknown_subject", 1, False),
    ]


def test_metered_usage_is_as_it_was() -> None:
    """It is what the line says, not what somebody else used."""
    catalog = CATALOG.replace("unit: movies/month,", "unit: movies/month, metered: {reset: month},")
    asked = {"subject": "acme", "feature": "movies"}
    found, _ = denied(
        line(asked, basis={"usage": {"used": 29}}),
        line(asked, basis={"usage": {"used": 30}}),
        new=catalog.replace("movies: 50,", "movies: 30,"),
        old=catalog,
    )

    assert [(it.recorded.line, it.by_change) for it in found] == [(2, True)]


def test_a_check_that_would_be_a_mistake_is_told() -> None:
    """Its feature is gone; a masked one is told too."""
    found, problems = denied(
        line({"subject": "acme", "feature": "analytics"}),
        line({"subject": {}, "feature": "movies"}),
        new=GONE,
        old=None,
    )

    assert found == []
    assert [(it.line, it.code) for it in problems] == [(1, "not-a-check"), (2, "masked")]
    assert "`analytics`" in problems[0].message


def test_what_the_change_does_not_touch_is_passed_over() -> None:
    """It cannot be why; without the old side everything is looked at."""
    lines = [line({"subject": "nobody", "feature": name}, feature=name) for name in ("analytics", "movies")]

    assert [it.recorded.line for it in denied(*lines)[0]] == [2]
    assert [it.recorded.line for it in denied(*lines, old=None)[0]] == [1, 2]


def test_what_was_allowed_without_data_is_passed_over() -> None:
    """No publication gave it, so none takes it away."""
    above = {"subject": "acme", "feature": "movies", "used": 40}
    found, problems = denied(line(above, basis={"loaded": False}), line(above))

    assert problems == []
    assert [it.recorded.line for it in found] == [2]


def test_the_status_is_as_it_was() -> None:
    """A rule that is new forbids what was allowed in an incident, and nothing else."""
    rule = '@id("incident") forbid (principal, action, resource) when { context.status == "degraded" };'
    asked = {"subject": "acme", "feature": "movies"}
    lines = [line(asked), line(asked, basis={"status": {"status": "degraded"}}), line(asked, basis={})]
    problems: list[Problem] = []
    found = find_new_denials(
        read_log(lines, "log", problems.append),
        bundle(CATALOG, (("house.cedar", rule),)),
        Subjects(customer("acme")).find,
        NOW,
        baseline=bundle(CATALOG),
    )
    assert [(one.recorded.line, one.now.reason) for one in found] == [(2, "rule_denied")]
