from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.marked import catalog_problems, expect, load, unmark

if TYPE_CHECKING:
    from pathlib import Path


def items(*entries: str, more: str = "") -> str:
    """A catalog with these items, which give nothing."""
    listed = "".join(f"  - {{{entry}, entitlements: {{}}}}\n" for entry in entries)
    return f"apiVersion: tiergate/v1\nfeatures: []\nitems:\n{listed}{more}"


PLANS = ("id: gold, kind: plan", "id: silver, kind: plan")
FEE = "id: fee, kind: charge"


@pytest.mark.parametrize(
    ("entries", "codes"),
    [
        (["id: a, kind: addon, available_for: [gold, ^gld]"], "unknown-item"),
        (["id: a, kind: addon, available_for: [^fee]"], "not-a-plan"),
        (["id: a, kind: addon, available_for: [gold, ^gold]"], "duplicate-entry"),
        (["id: a, kind: addon, available_for: ^[]"], "empty-list"),
        (["id: a, kind: addon, available_for: ^gold"], "wrong-type"),
        (["id: p, kind: plan, ^available_for: [gold]"], "key-not-for-kind"),
        (["id: a, kind: addon, depends_on: [^b]"], "unknown-item"),
        (["id: a, kind: addon, depends_on: [^a]"], "self-reference"),
        (["id: a, kind: addon, excludes: [^a]"], "self-reference"),
        (["id: a, kind: addon, excludes: [^nothing]"], "unknown-item"),
        (["id: a, kind: addon, depends_on: [fee], excludes: [^fee]"], "contradiction"),
        (["id: a, kind: addon, available_for: [gold], excludes: [^gold]"], "contradiction"),
        (["id: ^gold, kind: addon"], "duplicate-id"),
    ],
)
def test_a_wrong_reference_is_reported_at_its_place(entries: list[str], codes: str, tmp_path: Path) -> None:
    """What names nothing, the wrong kind, itself or one thing twice is named where it stands."""
    text, marks = unmark(items(*PLANS, FEE, *entries))
    expect(catalog_problems(tmp_path, text), marks, codes)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            ["^id: a, kind: addon, depends_on: [b]", "id: b, kind: addon, excludes: [a]"],
            "nobody can have `a`: it needs `a` and `b`, which exclude each other",
        ),
        (
            [
                "^id: a, kind: addon, depends_on: [b]",
                "^id: b, kind: addon, depends_on: [c]",
                "id: c, kind: addon, excludes: [b]",
            ],
            "nobody can have `a`: it needs `b` and `c`, which exclude each other",
        ),
        (
            [
                "^id: a, kind: addon, depends_on: [b, c]",
                "id: b, kind: addon",
                "id: c, kind: addon, excludes: [b]",
            ],
            "nobody can have `a`: it needs `b` and `c`, which exclude each other",
        ),
        (
            [
                "^id: a, kind: addon, available_for: [gold], depends_on: [b]",
                "id: b, kind: addon, available_for: [silver]",
            ],
            "nobody can have `a`: with the plan `gold`, it needs `b`, which is not available",
        ),
        (
            [
                "^id: a, kind: addon, available_for: [gold, silver], depends_on: [b]",
                "id: b, kind: addon, available_for: [bronze]",
                "id: bronze, kind: plan",
            ],
            (
                "nobody can have `a`: with the plan `gold`, it needs `b`, which is not available, "
                "and none of its 2 plans fits"
            ),
        ),
        (
            ["^id: p, kind: plan, depends_on: [b]", "id: b, kind: addon, available_for: [gold]"],
            "nobody can have `p`: it needs `b`, which is not available",
        ),
        (
            [
                "^id: a, kind: addon, depends_on: [gold, silver, c]",
                "id: c, kind: charge, available_for: [bronze]",
                "id: bronze, kind: plan, excludes: [gold]",
            ],
            "nobody can have `a`: with the plan `bronze`, it needs `bronze` and `gold`, which exclude each other",
        ),
    ],
)
def test_an_item_that_can_never_be_held_is_refused(entries: list[str], message: str, tmp_path: Path) -> None:
    """What an item needs must be possible together, with one plan that it goes with."""
    text, marks = unmark(items(*PLANS, FEE, *entries).replace("{^", "^{"))
    problems = catalog_problems(tmp_path, text)
    expect(problems, marks, "unsatisfiable " * len(marks))
    assert problems[0].message == message


@pytest.mark.parametrize(
    "entries",
    [
        ["id: a, kind: addon, depends_on: [b]", "id: b, kind: addon, depends_on: [a]"],
        ["id: a, kind: addon, available_for: [gold], depends_on: [b]", "id: b, kind: addon"],
        ["id: a, kind: addon, depends_on: [b]", "id: b, kind: addon, available_for: [silver]"],
        [
            "id: a, kind: addon, available_for: [gold, silver], depends_on: [b]",
            "id: b, kind: addon, available_for: [silver]",
        ],
        ["id: a, kind: addon, available_for: [gold], excludes: [silver]"],
        [
            "id: a, kind: addon, available_for: [suite], depends_on: [b]",
            "id: b, kind: addon, available_for: [gold]",
            "id: suite, kind: plan, depends_on: [gold]",
        ],
        ["id: a, kind: charge, depends_on: [gold, silver]"],
    ],
)
def test_an_item_that_can_be_held_is_accepted(entries: list[str], tmp_path: Path) -> None:
    """Circles of needs, needs of any plan, and plans that bring others along are possible."""
    load(tmp_path, items(*PLANS, FEE, *entries))


@pytest.mark.parametrize(
    ("ladder", "codes"),
    [
        ("{id: l, plans: [silver, ^fee]}", "not-a-plan"),
        ("{id: l, plans: [silver, ^platinum]}", "unknown-item"),
        ("{id: l, plans: ^[silver]}", "short-ladder"),
        ("{id: l, plans: ^[silver, ^silver]}", "short-ladder duplicate-entry"),
        ("^{id: l}", "missing-key"),
        ("^{plans: [silver, gold]}", "missing-key"),
        ("{id: l, plans: [silver, gold], ^name: L}", "unknown-key"),
        ("^[silver, gold]", "wrong-type"),
        ("{id: l, plans: [silver, gold]}\n  - {id: ^l, plans: [silver, gold]}", "duplicate-id"),
    ],
)
def test_a_mistake_in_a_ladder_is_reported_at_its_place(ladder: str, codes: str, tmp_path: Path) -> None:
    """Ladders name at least two plans that exist, each once."""
    text, marks = unmark(items(*PLANS, FEE, more=f"ladders:\n  - {ladder}\n"))
    expect(catalog_problems(tmp_path, text), marks, codes)


def test_a_ladder_keeps_its_order(tmp_path: Path) -> None:
    """Plans stand from the lowest to the highest."""
    catalog = load(tmp_path, items(*PLANS, more="ladders: [{id: l, plans: [silver, gold]}]\n"))
    assert [(ladder.id, ladder.plans) for ladder in catalog.ladders] == [("l", ("silver", "gold"))]
