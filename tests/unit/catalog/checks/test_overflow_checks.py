from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.marked import expect, load, load_people, subjects_problems, unmark

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.model import Catalog

LARGE = 10**18

CATALOG = f"""\
apiVersion: tiergate/v1
plans: many
features:
  - {{id: sum, type: quantity}}
  - {{id: max, type: quantity, combine: max}}
  - {{id: range, type: range, max: 1000}}
  - {{id: scaled, type: quantity, scale: 6}}
  - {{id: other, type: quantity}}
  - {{id: across, type: quantity, across: max}}
items:
  - {{id: sum, kind: plan, entitlements: {{sum: {LARGE}}}}}
  - {{id: once, kind: plan, entitlements: {{sum: {{value: {LARGE}, per: subscription}}}}}}
  - {{id: add, kind: plan, entitlements: {{max: {{add: {LARGE}}}}}}}
  - {{id: max, kind: plan, entitlements: {{max: {LARGE}}}}}
  - {{id: max-each, kind: plan, entitlements: {{max: {{value: {LARGE}, per: unit}}}}}}
  - {{id: range, kind: plan, entitlements: {{range: {{add: {LARGE}}}}}}}
  - {{id: scaled, kind: plan, entitlements: {{scaled: 999999999999}}}}
  - {{id: across, kind: plan, entitlements: {{across: {LARGE}}}}}
  - {{id: other, kind: plan, entitlements: {{other: {LARGE}}}}}
  - id: versions
    kind: plan
    versions: [{{version: 1, entitlements: {{sum: 1}}}}, {{version: 2, entitlements: {{sum: {LARGE}}}}}]
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A catalog whose every number is as large as can be."""
    return load(tmp_path, CATALOG)


def held(*subscriptions: str, rest: str = "") -> str:
    """Subjects of one customer with these items in a subscription each."""
    lines = "".join(
        f"  - {{id: s{number}, customer: ^acme, status: active, items: {items}{rest}}}\n"
        for number, items in enumerate(subscriptions)
    )
    return f"apiVersion: tiergate/v1\ncustomers: [{{id: acme}}]\nsubscriptions:\n{lines}"


@pytest.mark.parametrize(
    "items",
    [
        "[{item: sum, quantity: 4}]",
        "[{item: once, quantity: 1000}, {item: once, quantity: 1000}]",
        "[{item: max, quantity: 1000}, {item: max, quantity: 1000}]",
        "[{item: range, quantity: 1000}]",
        "[{item: scaled, quantity: 4}]",
        "[{item: sum, quantity: 4}, {item: other, quantity: 4}]",
        "[{item: versions, version: 1, quantity: 5000000}]",
    ],
)
def test_a_total_that_fits_is_accepted(items: str, catalog: Catalog, tmp_path: Path) -> None:
    """What no feature can pass is fine, however large the sum of everything is."""
    load_people(tmp_path, catalog, held(items).replace("^", ""))


@pytest.mark.parametrize(
    "items",
    [
        "^[{item: sum, quantity: 5}]",
        "^[{item: sum, quantity: 1000000000000000}]",
        "^[{item: sum, quantity: 2}, {item: sum, quantity: 3, until: 2020-01-01}]",
        "^[{item: add, quantity: 5}]",
        "^[{item: add, quantity: 4}, {item: max}]",
        "^[{item: max-each, quantity: 5}]",
        "^[{item: scaled, quantity: 5}]",
        "^[{item: versions, quantity: 5}]",
    ],
)
def test_a_subscription_whose_total_could_overflow_is_refused(items: str, catalog: Catalog, tmp_path: Path) -> None:
    """Every item counts as if all counted at once, in its largest version."""
    text, marks = unmark(held(items).replace("customer: ^", "customer: "))
    expect(subjects_problems(tmp_path, catalog, text), marks, "total-too-large")


def test_the_feature_and_its_total_are_named(catalog: Catalog, tmp_path: Path) -> None:
    """The message is in the feature's own numbers."""
    (problem,) = subjects_problems(tmp_path, catalog, held("[{item: scaled, quantity: 5}]").replace("^", ""))
    assert problem.message == "the total of `scaled` could reach 4999999999995, more than 4611686018427.387904"


@pytest.mark.parametrize("name", ["subjects.yaml", "subjects.ndjson"])
def test_a_customer_whose_total_could_overflow_is_refused(name: str, catalog: Catalog, tmp_path: Path) -> None:
    """Subscriptions that fit one by one may not fit together."""
    if name == "subjects.yaml":
        text, marks = unmark(held("[{item: sum, quantity: 4}]", "[{item: sum}]", "[{item: other, quantity: 4}]"))
    else:
        text, marks = unmark(
            '{"type": "customer", "id": "acme"}\n'
            '{"type": "subscription", "id": "a", "customer": ^"acme", "status": "active", '
            '"items": [{"item": "sum", "quantity": 4}]}\n'
            '{"type": "subscription", "id": "b", "customer": "acme", "status": "active", "items": [{"item": "sum"}]}\n'
        )
    problems = subjects_problems(tmp_path, catalog, text, name)
    expect(problems, marks[:1], "total-too-large")
    assert "all subscriptions of `acme` together: the total of `sum` could reach 5000" in problems[0].message


@pytest.mark.parametrize(
    "subscriptions",
    [
        ["[{item: sum, quantity: 4}]", "[{item: other, quantity: 4}]"],
        ["[{item: max, quantity: 9}]"] * 9,
        ["[{item: range, quantity: 9}]"] * 9,
        ["[{item: across, quantity: 4}]"] * 9,
    ],
)
def test_subscriptions_that_fit_together_are_accepted(
    subscriptions: list[str], catalog: Catalog, tmp_path: Path
) -> None:
    """The exact bound decides where the cheap one is too large."""
    load_people(tmp_path, catalog, held(*subscriptions).replace("^", ""))


def test_an_override_counts_in_place_of_what_it_replaces(catalog: Catalog, tmp_path: Path) -> None:
    """It does not add to the items of its subscription, and counts beside the other subscriptions."""
    rest = f", overrides: [{{feature: sum, value: {LARGE}}}]"
    load_people(tmp_path, catalog, held("[{item: sum, quantity: 4}]", rest=rest).replace("^", ""))
    load_people(tmp_path, catalog, held("[{item: sum}]", "[]", "[]", "[]", rest=rest).replace("^", ""))
    text, marks = unmark(held("[{item: sum}]", "[]", "[]", "[]", "[]", rest=rest))
    expect(subjects_problems(tmp_path, catalog, text), marks[:1], "total-too-large")


def adding(*features: str) -> str:
    """Overrides that add as much as can be, one for each of these features."""
    return "[" + ", ".join(f"{{feature: {it}, mode: add, value: {LARGE}}}" for it in features) + "]"


@pytest.mark.parametrize(("feature", "most"), [("sum", 4), ("max", 4), ("range", 4), ("across", 4)])
def test_overrides_that_add_count_together(feature: str, most: int, catalog: Catalog, tmp_path: Path) -> None:
    """Of a subscription and of a customer, with items and without."""
    head = "apiVersion: tiergate/v1\ncustomers: [{id: ^acme"
    fits, passes = (adding(*[feature] * count) for count in (most, most + 1))
    load_people(tmp_path, catalog, held("[]", rest=f", overrides: {fits}").replace("^", ""))
    load_people(tmp_path, catalog, f"{head}, overrides: {fits}}}]\n".replace("^", ""))
    text, marks = unmark(f"{head}, overrides: {passes}}}]\n")
    expect(subjects_problems(tmp_path, catalog, text), marks, "total-too-large")
    text, marks = unmark(held("^[]", rest=f", overrides: {passes}").replace("customer: ^", "customer: "))
    expect(subjects_problems(tmp_path, catalog, text), marks, "total-too-large")


def test_what_a_customer_is_given_on_top_counts_with_its_subscriptions(catalog: Catalog, tmp_path: Path) -> None:
    """The problem stands at the first subscription, wherever the customer does."""
    text, marks = unmark(held("[{item: sum, quantity: 3}]", "[]"))
    one, two = (text.replace("{id: acme}", f"{{id: acme, overrides: {adding(*['sum'] * it)}}}") for it in (1, 2))
    load_people(tmp_path, catalog, one)
    (problem,) = subjects_problems(tmp_path, catalog, two)
    assert (problem.line, problem.code) == (marks[0][0], "total-too-large")
