from __future__ import annotations

from tests.unit.policytest.reporters.reports import BAD, GOOD
from tiergate.policytest.reporters import summary, tree
from tiergate.policytest.results import RunReport

BAD_TREE = """\
Gold  (plans/gold_test.yaml)
  ✗ what Gold gives  (2 of 3 cases failed)
      ✗ ada · movies · one too many
          expected  allowed true, value 80
          actual    allowed false, value 70 (limit_reached)
          why       plan/gold@1 gives 50 movies/month
                    70 are used
          at        plans/gold_test.yaml:14:5
      ✗ bob · movies
          expected  allowed false, reason a denial
          actual    allowed true, reason granted
          note      no row of `expected` selects this case, so it is expected to be denied
          at        plans/gold_test.yaml:6:5
  ! a slip  (2 of 2 cases failed)
      ! ada · moovies
          problem   no feature `moovies`, did you mean `movies`?
          at        plans/gold_test.yaml:9:5
      ✗ anna · override · acme
          expected  allowed true
          actual    allowed false
          at        plans/gold_test.yaml:9:5
  – support  (skipped: waits for the new levels)

6 cases in 3 tests of 1 suite: 1 passed, 3 failed, 1 could not be decided, 1 skipped (0.04 s)
"""


def test_a_failure_shows_expected_actual_why_and_where() -> None:
    """Each case that failed has what was expected, what came of it, why, and its file, line and column."""
    assert "".join(f"{line.text}\n" for line in tree(BAD)) == BAD_TREE


def test_what_passed_is_counted_and_not_listed() -> None:
    """A test of which all cases passed is one line."""
    assert [line.text for line in tree(GOOD)] == [
        "Gold  (plans/gold_test.yaml)",
        "  ✓ what Gold gives  (2 cases)",
        "",
        "2 cases in 1 test of 1 suite: 2 passed (0.04 s)",
    ]


def test_a_verbose_tree_lists_every_case_that_ran() -> None:
    """Cases that passed are named too; those of a skipped test are not."""
    marks = [line.text.strip() for line in tree(BAD, verbose=True) if line.text.startswith("      ✓")]
    assert marks == ["✓ ada · movies"]
    assert not any("ada · support" in line.text for line in tree(BAD, verbose=True))


def test_the_summary_is_green_only_where_nothing_failed() -> None:
    """A terminal shows at a glance whether all is well."""
    assert (summary(GOOD).style, summary(BAD).style) == ("bold green", "bold red")


def test_nothing_is_told_as_nothing() -> None:
    """A run without cases says so in its counts."""
    assert summary(RunReport(())).text == "0 cases in 0 tests of 0 suites: 0 passed (0.00 s)"
