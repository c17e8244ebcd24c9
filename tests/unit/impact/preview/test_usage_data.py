"""Usage files: what is read of them, and what is told of mistakes."""

from __future__ import annotations

from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tiergate.errors import SubjectsError
from tiergate.impact.preview.usage_data import UsageTable
from tiergate.model import Subject, SubjectType

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FEATURES = ("movies", "storage")


@contextmanager
def read(path: Path, text: str) -> Iterator[UsageTable]:
    """The figures of a file with this text."""
    path.write_text(text, encoding="utf-8")
    with UsageTable() as figures:
        figures.read(path, FEATURES)
        yield figures


def test_lines_of_json_say_what_subjects_have_used(tmp_path: Path) -> None:
    """Exactly; what is said last counts; of others nothing is known."""
    text = """{"subject": "acme", "feature": "movies", "used": 1}
{"subject": "acme", "feature": "movies", "used": 12}

{"subject": {"type": "subscription", "id": "s1"}, "feature": "storage", "used": 0.1}
"""
    with read(tmp_path / "u.ndjson", text) as figures:
        assert figures.used(Subject("acme"), "movies") == 12
        assert figures.used(Subject("s1", SubjectType.SUBSCRIPTION), "storage") == Decimal("0.1")
        assert figures.used(Subject("s1"), "storage") is None


def test_a_table_with_a_header_says_the_same(tmp_path: Path) -> None:
    """Its columns in any order, a column `type` where it is about subscriptions."""
    text = "used,subject,type,feature\n12,acme,,movies\n0.5,s1,subscription,storage\n"
    with read(tmp_path / "u.csv", text) as figures:
        assert figures.used(Subject("acme"), "movies") == 12
        assert figures.used(Subject("s1", SubjectType.SUBSCRIPTION), "storage") == Decimal("0.5")


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("u.ndjson", "\n{", 2, "is not JSON"),
        ("u.ndjson", "[]", 1, "must be a JSON object"),
        ("u.ndjson", '{"subject": "acme", "feature": "movies"}', 1, "`used` is missing"),
        ("u.ndjson", '{"subject": "acme", "feature": "movies", "used": true}', 1, "`used` must be a number"),
        ("u.ndjson", '{"subject": "acme", "feature": "movies", "used": NaN}', 1, "`NaN` is not a number"),
        ("u.ndjson", '{"subject": "acme", "feature": "movies", "used": -1}', 1, "not negative"),
        ("u.ndjson", '{"subject": "acme", "feature": "movis", "used": 1}', 1, "did you mean `movies`?"),
        ("u.ndjson", '{"subject": " a", "feature": "movies", "used": 1}', 1, "`subject`"),
        ("u.ndjson", '{"subject": {"type": "user", "id": "a"}, "feature": "movies", "used": 1}', 1, "`subject.type`"),
        ("u.ndjson", '{"subject": "a", "feature": "movies", "usd": 1}', 1, "did you mean `used`?"),
        ("u.csv", "subject,used\nacme,1\n", 1, "the header must name `feature`"),
        ("u.csv", "subject,feature,used\nacme,movies,many\n", 2, "`used` must be a number"),
    ],
)
def test_a_mistake_is_told_at_its_line(tmp_path: Path, name: str, text: str, line: int, said: str) -> None:
    """With the file."""
    with pytest.raises(SubjectsError) as caught, read(tmp_path / name, text):
        pass
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, said in problem.message) == (str(tmp_path / name), line, True), problem
