"""The status that people see, against what each millisecond says by itself."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tiergate.model import FOREVER, Interval, Reporter, ReporterKind, Status, StatusReport
from tiergate.status.shown import ShownStatus, next_change, shown_at, shown_changes, shown_since

PERSON = Reporter(ReporterKind.PERSON, "jo")
END = 12
INSTANTS = st.integers(0, END)
SPANS = st.tuples(INSTANTS, st.integers(1, 6)).map(lambda it: Interval(it[0], it[0] + it[1]))
REPORTS = st.lists(
    st.tuples(SPANS, st.sampled_from([it for it in Status if it is not Status.OPERATIONAL])).map(
        lambda it: StatusReport(
            id="r", feature="calls", status=it[1], start=it[0].start, until=it[0].until, reporter=PERSON
        )
    ),
    max_size=4,
)
ORDER = ("operational", "maintenance", "unknown", "degraded", "partial", "down")


def by_hand(reports: list[StatusReport], silences: list[Interval], at: int) -> str:
    """What shows at an instant: the worst of all, where maintenance hides silence."""
    found = {it.status.value for it in reports if it.start <= at < it.until}
    if not found and any(it.start <= at < it.until for it in silences):
        return "unknown"
    return max(found, key=ORDER.index, default="operational")


@settings(max_examples=60)
@given(reports=REPORTS, silences=st.lists(SPANS, max_size=2))
def test_changes_are_where_neighbouring_instants_differ(reports: list[StatusReport], silences: list[Interval]) -> None:
    """And what is shown between them is what each instant says; the clock has nothing to do in between."""
    expected = [by_hand(reports, silences, at) for at in range(END)]
    assert [shown_at(reports, silences, at).value for at in range(END)] == expected
    changes = list(shown_changes(reports, silences, Interval(0, END), ShownStatus.OPERATIONAL))
    shown = ["operational", *expected]
    assert [(it.at, it.before.value, it.after.value) for it in changes] == [
        (at, shown[at], shown[at + 1]) for at in range(END) if shown[at] != shown[at + 1]
    ]
    at = -1
    passed = []
    while (following := next_change(reports, silences, at)) is not None:
        passed.append(at := following)
    assert {it.at for it in changes} <= set(passed)


def test_since_is_the_first_start_of_what_shows() -> None:
    """Of all reports that say so and are open; nothing says that a feature is operational."""
    reports = [
        StatusReport(id=str(start), feature="calls", status=Status.DOWN, start=start, until=until, reporter=PERSON)
        for start, until in ((1, 3), (2, 9), (4, FOREVER))
    ]
    assert shown_since(reports, [], ShownStatus.DOWN, 5) == 2
    assert shown_since(reports, [Interval(3, 6)], ShownStatus.UNKNOWN, 5) == 3
    assert shown_since(reports, [], ShownStatus.OPERATIONAL, 0) is None
