from __future__ import annotations

from tiergate.model import Problem, Severity


def test_problems_sort_by_file_line_and_column() -> None:
    """The order in which an author reads."""
    places = [("b", 1, 1), ("a", 2, 1), ("a", 1, 9), ("a", 1, 10)]
    found = sorted(Problem(*place, "code", "message") for place in places)
    assert [(it.file, it.line, it.column) for it in found] == [("a", 1, 9), ("a", 1, 10), ("a", 2, 1), ("b", 1, 1)]


def test_a_problem_reads_as_one_line() -> None:
    """File, line and column as editors take them; without a line, the file alone."""
    assert str(Problem("c.yaml", 3, 5, "bad-id", "is wrong")) == "c.yaml:3:5: error: is wrong [bad-id]"
    assert str(Problem("c.yaml", 0, 0, "x", "is odd", Severity.WARNING)) == "c.yaml: warning: is odd [x]"
