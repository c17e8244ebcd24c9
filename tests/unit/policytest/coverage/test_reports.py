from __future__ import annotations

import json
from decimal import Decimal
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from tests.unit.policytest.coverage.measured import CATALOG, HEAD, coverage
from tiergate.cedar import builtin_text
from tiergate.policytest.coverage import Coverage, TargetKind, coverage_html, coverage_json, coverage_text

if TYPE_CHECKING:
    from pathlib import Path

LAST_SEAT = """\
  - name: seats
    subjects: [ada]
    requests: {the last: {feature: seats, used: 4}, the first: {feature: seats}}
    expected: [{allowed: true}]
"""


def test_the_text_says_how_much_and_what_is_missing(tmp_path: Path) -> None:
    """By kind; then each unit with its place in the catalog, what it says, and what test it wants."""
    measured = coverage(tmp_path, LAST_SEAT)
    text = coverage_text(measured)
    lines = text.splitlines()
    assert lines[0] == f"coverage: {measured.percent} % ({measured.covered} of {measured.total})"
    line, column = next(
        (number, row.index("5, storage") + 1)
        for number, row in enumerate(CATALOG.splitlines(), 1)
        if "reports: true" in row
    )
    assert (
        f"  {tmp_path / 'catalog.yaml'}:{line}:{column}: plan/basic@1/seats (5), beyond: no case would fail if it were "
        "one unit more: request one unit above the limit, or state `value`"
    ) in lines
    assert "plan/basic@1/seats (5), limit" not in text


def test_the_text_names_the_case_that_came_nearest(tmp_path: Path) -> None:
    """It has to do with the unit, but would pass all the same."""
    lines = coverage_text(coverage(tmp_path, LAST_SEAT)).splitlines()
    place = next(number for number, line in enumerate(lines) if "plan/basic@1/seats (5), beyond" in line)
    row = HEAD.count("\n") + LAST_SEAT.splitlines().index("    expected: [{allowed: true}]") + 2
    assert lines[place + 1] == f"    nearest: {tmp_path / 'small_test.yaml'}:{row}: ada · seats · the last"


def test_the_data_hold_every_unit(tmp_path: Path) -> None:
    """With its mark, the first case that covered it, or what it wants; as JSON, with its numbers."""
    measured = coverage(tmp_path, LAST_SEAT)
    found = json.loads(json.dumps(coverage_json(measured)))
    assert (found["covered"], found["total"]) == (measured.covered, measured.total)
    assert sum(it["covered"] for it in found["kinds"].values()) == measured.covered
    (limit,) = [it for it in found["units"] if it["id"] == "plan/basic@1/seats" and it["aspect"] == "limit"]
    assert (limit["mark"], limit["case"]["name"], limit["says"]) == ("covered", "ada · seats · the last", "5")
    (beyond,) = [it for it in found["units"] if it["id"] == "plan/basic@1/seats" and it["aspect"] == "beyond"]
    assert beyond["mark"] == "reached"
    assert "one unit above" in beyond["advice"]


def test_of_nothing_nothing_is_covered() -> None:
    """A threshold is not reached by measuring nothing."""
    nothing = Coverage(())
    assert (nothing.percent, nothing.reaches(0), nothing.reaches(1)) == (Decimal(0), False, False)


def test_the_percentage_is_never_rounded_up(tmp_path: Path) -> None:
    """100.00 is everything, and a threshold is held against the exact part."""
    measured = coverage(tmp_path, LAST_SEAT)
    exact = Decimal(100 * measured.covered) / measured.total
    assert measured.percent <= exact < measured.percent + Decimal("0.01")
    assert measured.reaches(measured.percent)
    assert not measured.reaches(measured.percent + Decimal("0.01"))
    assert not measured.reaches(100)


class _Reader(HTMLParser):
    """What a page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it, and what it would load."""
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]

    def handle_data(self, data: str) -> None:
        """Note it."""
        self.text += data


def test_what_is_shipped_is_told_in_one_line(tmp_path: Path) -> None:
    """Where it does not count, it is in no number but its own, and in no list: the author cannot change it."""
    all_of_it, own = (coverage(tmp_path, LAST_SEAT, shipped=shipped) for shipped in (True, False))
    shipped = all_of_it.shipped
    assert 0 < shipped.covered < shipped.total
    assert own.total == all_of_it.total - shipped.total
    assert own.covered == all_of_it.covered - shipped.covered
    line = f"shipped, not counted: {shipped.percent} % ({shipped.covered} of {shipped.total})"
    assert line in coverage_text(own).splitlines()
    assert line not in coverage_text(all_of_it)
    assert not any(about in coverage_text(own) for about in ("guard", "override", "reason"))
    page = _Reader()
    page.feed(coverage_html(own))
    assert "shipped, not counted" in page.text
    assert "guard/" not in page.text


def test_the_data_say_whether_what_is_shipped_counts(tmp_path: Path) -> None:
    """It has numbers of its own either way; its units are listed only where they count."""
    all_of_it, own = (coverage_json(coverage(tmp_path, LAST_SEAT, shipped=shipped)) for shipped in (True, False))
    assert isinstance(own["shipped"], dict)
    assert all_of_it["shipped"] == {**own["shipped"], "counted": True}
    assert own["shipped"]["counted"] is False
    assert isinstance(own["units"], list)
    assert {it["kind"] for it in own["units"]} == {"entitlement", "feature", "item", "level"}


def test_a_table_of_roles_counts_where_it_stands_in_a_file(tmp_path: Path) -> None:
    """The shipped one does not; a copy of it does, though another suite names the shipped one."""
    tests = "  - {name: t, callers: [a], actions: [view], resources: [c], expected: [{allowed: true}]}\n"
    head = "roles: shipped\ncallers: {a: {roles: [admin]}}\nresources: {c: {type: Catalog}}\n"
    head = f"apiVersion: tiergate/v1\n{head}"
    alone = coverage(tmp_path / "alone", tests, head, shipped=False)
    assert (alone.total, alone.by_kind) == (0, {})
    copied = head.replace("shipped", "roles.cedar")
    files = {"roles.cedar": builtin_text("roles"), "other_test.yaml": f"{copied}tests:\n{tests}"}
    both = coverage(tmp_path / "both", tests, head, files, shipped=False)
    assert set(both.by_kind) == {TargetKind.ROLE}
    assert {it.subject.file for it in both.measured} == {str(tmp_path / "both" / "roles.cedar")}
    assert both.covered == 1


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    """No script, no link, nothing to load."""
    page = _Reader()
    html = coverage_html(coverage(tmp_path, LAST_SEAT))
    page.feed(html)
    assert html.startswith("<!DOCTYPE html>\n")
    assert not page.links
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "url(" not in html
    assert "plan/basic@1" in page.text
    assert "ada · seats · the last" in page.text


def test_the_page_shows_what_authors_wrote_as_text(tmp_path: Path) -> None:
    """Whatever they wrote."""
    tests = LAST_SEAT.replace("the last", '"<script>alert(1)</script>"')
    catalog = CATALOG.replace("type: quantity, levels", 'type: quantity, unit: "<b>&", levels')
    html = coverage_html(coverage(tmp_path, tests, files={"catalog.yaml": catalog}))
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert "5 &lt;b&gt;&amp;" in html


def test_every_unit_that_is_not_covered_has_advice(tmp_path: Path) -> None:
    """Whatever it is of."""
    found = coverage_json(coverage(tmp_path, LAST_SEAT))
    units = found["units"]
    assert isinstance(units, list)
    assert all(it["advice"].startswith("no case would fail ") for it in units if it["mark"] != "covered")
