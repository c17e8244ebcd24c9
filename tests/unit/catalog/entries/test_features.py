from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.unit.catalog.marked import catalog_problems, expect, load, unmark
from tiergate.catalog import dump_catalog, feature_data
from tiergate.model import (
    FOREVER,
    Batch,
    CalendarUnit,
    Caps,
    Combine,
    Feature,
    FeatureStatus,
    FeatureType,
    Level,
    Metered,
    Suspension,
    parse_instant,
)

if TYPE_CHECKING:
    from pathlib import Path


def catalog(feature: str) -> str:
    """A catalog of one feature."""
    return f"apiVersion: tiergate/v1\nfeatures:\n  - {feature}\nitems: []\n"


def test_a_quantity_has_everything_that_the_format_names(tmp_path: Path) -> None:
    """Every key of a quantity arrives in the model, numbers in units of its scale."""
    text = """
      id: storage
      name: Storage
      description: |
        Room for
        files.
      type: quantity
      status: archived
      unit: GB
      scale: 3
      levels: [0.5, 10, 100.125, unlimited]
      combine: max
      batch: {minimum: 1, increment: 0.5}
      caps: {total: 1000, per_user: 10}
      metered: {reset: month}
      tags: [files, big]
      linked: [other]
      suspensions:
        - {from: 2026-11-01T00:00:00Z, reason: repair}
        - {until: 2020-01-01}
    """
    text = text.strip().replace("\n      ", "\n    ") + "\n  - {id: other, type: switch}"
    assert load(tmp_path, catalog(text)).features["storage"] == Feature(
        id="storage",
        name="Storage",
        description="Room for\nfiles.\n",
        type=FeatureType.QUANTITY,
        status=FeatureStatus.ARCHIVED,
        unit="GB",
        scale=3,
        numbers=(500, 10_000, 100_125),
        unlimited_level=True,
        combine=Combine.MAX,
        batch=Batch(1000, 500),
        caps=Caps(1_000_000, 10_000),
        metered=Metered(CalendarUnit.MONTH),
        tags=("big", "files"),
        linked=("other",),
        suspensions=(
            Suspension(until=parse_instant("2020-01-01T00:00:00Z")),
            Suspension(start=parse_instant("2026-11-01T00:00:00Z"), until=FOREVER, reason="repair"),
        ),
    )


def test_a_range_has_a_minimum_and_a_maximum(tmp_path: Path) -> None:
    """The bounds of a range are numbers in units of its scale."""
    feature = load(tmp_path, catalog("{id: r, type: range, scale: 1, min: 0.5, max: 7}")).features["r"]
    assert (feature.minimum, feature.maximum) == (5, 70)


@pytest.mark.parametrize(
    ("rest", "combine"),
    [
        ("type: range", Combine.MAX),
        ("type: range, combine: sum", Combine.SUM),
        ("type: range, combine: max", Combine.MAX),
        ("type: quantity", Combine.SUM),
        ("type: quantity, combine: max", Combine.MAX),
    ],
)
def test_a_range_combines_as_its_highest_value_and_a_quantity_as_a_sum(
    rest: str, combine: Combine, tmp_path: Path
) -> None:
    """So where the file leaves `combine` out; the file that is printed again says the same."""
    loaded = load(tmp_path, catalog(f"{{id: f, {rest}}}"))
    assert loaded.features["f"].combine is combine
    assert load(tmp_path, dump_catalog(loaded)) == loaded


def test_a_bundle_without_combine_sums_as_it_always_did() -> None:
    """The default of a file is not that of what was stored by the version before."""
    stored = msgspec.json.decode(b'{"id": "f", "type": "range"}', type=Feature)
    assert stored.combine is Combine.SUM
    assert feature_data(stored)["combine"] == "sum"


def test_numbers_of_several_subscriptions_are_added_unless_the_feature_says_max(tmp_path: Path) -> None:
    """`across` is a key of quantities and ranges."""
    features = load(tmp_path, catalog("{id: f, type: quantity}\n  - {id: g, type: range, across: max}")).features
    assert (features["f"].across, features["g"].across) == (Combine.SUM, Combine.MAX)


def test_a_custom_feature_keeps_the_order_of_its_levels(tmp_path: Path) -> None:
    """Labels go from the lowest to the highest, whatever their letters."""
    feature = load(tmp_path, catalog('{id: c, type: custom, levels: [phone, chat, "10", no]}')).features["c"]
    assert feature.labels == ("phone", "chat", "10", "no")


def test_metered_usage_may_never_start_again(tmp_path: Path) -> None:
    """`never` is said, not left out."""
    feature = load(tmp_path, catalog("{id: q, type: quantity, metered: {reset: never}}")).features["q"]
    assert feature.metered == Metered(None)


def test_unlimited_may_be_the_only_level(tmp_path: Path) -> None:
    """A quantity may be given without a limit or not at all."""
    feature = load(tmp_path, catalog("{id: q, type: quantity, levels: [unlimited]}")).features["q"]
    assert (feature.numbers, feature.unlimited_level) == ((), True)


def test_without_unlimited_among_its_levels_a_quantity_is_limited(tmp_path: Path) -> None:
    """`unlimited` is a level like the others."""
    feature = load(tmp_path, catalog("{id: q, type: quantity, levels: [1, 2]}")).features["q"]
    assert (feature.numbers, feature.unlimited_level) == ((1, 2), False)


@pytest.mark.parametrize(
    ("feature", "codes"),
    [
        ("^{type: switch}", "missing-key"),
        ("^{id: f}", "missing-key"),
        ("^just text", "wrong-type"),
        ("^null", "wrong-type"),
        ("{id: ^a b, type: switch}", "bad-id"),
        ("{id: ^.a, type: switch}", "bad-id"),
        ("{id: ^'', type: switch}", "bad-id"),
        ("{id: ^ä, type: switch}", "bad-id"),
        (f"{{id: ^{'a' * 101}, type: switch}}", "bad-id"),
        ("{id: ^7, type: switch}", "wrong-type"),
        ("{id: ^true, type: switch}", "wrong-type"),
        ("{id: ^[a], type: switch}", "wrong-type"),
        ("{id: f, type: ^toggle}", "unknown-word"),
        ("{id: f, type: ^Switch}", "unknown-word"),
        ("{id: f, type: ^1}", "unknown-word"),
        ("{id: f, type: ^[switch]}", "unknown-word"),
        ("{id: f, type: switch, ^nam: F}", "unknown-key"),
        ("{id: f, type: switch, name: ^''}", "empty-text"),
        ("{id: f, type: switch, name: ^}", "wrong-type"),
        ("{id: f, type: switch, name: ^5}", "wrong-type"),
        (f"{{id: f, type: switch, name: ^{'n' * 201}}}", "too-long"),
        ('{id: f, type: switch, name: ^"a\\nb"}', "bad-character"),
        ('{id: f, type: switch, name: ^"a\\0b"}', "bad-character"),
        ('{id: f, type: switch, description: ^"a\\ab"}', "bad-character"),
        ("{id: f, type: switch, status: ^retired}", "unknown-word"),
        ("{id: f, type: switch, tags: ^reports}", "wrong-type"),
        ("{id: f, type: switch, tags: [a, ^a]}", "duplicate-entry"),
        ("{id: f, type: switch, tags: [^'']}", "bad-id"),
        ("{id: f, type: switch, linked: [^f]}", "self-reference"),
        ("{id: f, type: switch, linked: [^g]}", "unknown-feature"),
        ("{id: f, type: switch, ^unit: GB, ^scale: 1, ^levels: [a], ^combine: max}", "key-not-for-type " * 4),
        (
            "{id: f, type: switch, ^batch: {minimum: 1}, ^caps: {per_user: 1}, ^metered: {reset: day}}",
            "key-not-for-type " * 3,
        ),
        ("{id: f, type: quantity, ^min: 1, ^max: 2}", "key-not-for-type " * 2),
        ("{id: f, type: range, ^levels: [1]}", "key-not-for-type"),
        ("{id: f, type: range, ^metered: {reset: day}}", "key-not-for-type"),
        ("{id: f, type: custom, levels: [a], ^unit: GB}", "key-not-for-type"),
        ("{id: f, type: quantity, scale: ^7}", "bad-number"),
        ("{id: f, type: quantity, scale: ^-1}", "bad-number"),
        ("{id: f, type: quantity, scale: ^1.5}", "wrong-type"),
        ("{id: f, type: quantity, scale: ^true}", "wrong-type"),
        ("{id: f, type: quantity, levels: ^[]}", "empty-list"),
        ("{id: f, type: quantity, levels: ^{}}", "wrong-type"),
        ("{id: f, type: quantity, levels: [1, ^1]}", "levels-order"),
        ("{id: f, type: quantity, levels: [2, ^1]}", "levels-order"),
        ("{id: f, type: quantity, levels: [unlimited, ^1]}", "levels-order"),
        ("{id: f, type: quantity, levels: [^many]}", "wrong-type"),
        ("{id: f, type: quantity, levels: [^1.5]}", "bad-number"),
        ("{id: f, type: quantity, levels: [^-1]}", "bad-number"),
        ("{id: f, type: quantity, levels: [^true]}", "wrong-type"),
        ("{id: f, type: quantity, combine: ^min}", "unknown-word"),
        ("{id: f, type: quantity, batch: ^{}}", "missing-key"),
        ("{id: f, type: quantity, batch: {minimum: ^0}}", "bad-number"),
        ("{id: f, type: quantity, batch: {increment: ^0.5}}", "bad-number"),
        ("{id: f, type: quantity, batch: {^maximum: 5}}", "unknown-key"),
        ("{id: f, type: quantity, batch: ^5}", "wrong-type"),
        ("{id: f, type: quantity, caps: {total: ^5}}", "cap-not-metered"),
        ("{id: f, type: quantity, caps: ^{}}", "missing-key"),
        ("{id: f, type: quantity, caps: {per_user: ^0}}", "bad-number"),
        ("{id: f, type: quantity, metered: ^true}", "wrong-type"),
        ("{id: f, type: quantity, metered: ^{}}", "missing-key"),
        ("{id: f, type: quantity, metered: {reset: ^fortnight}}", "unknown-word"),
        ("{id: f, type: range, min: 2, max: ^1}", "empty-range"),
        ("{id: f, type: range, min: ^a, max: ^-3}", "wrong-type bad-number"),
        ("^{id: f, type: custom}", "missing-key"),
        ("{id: f, type: custom, levels: ^[]}", "empty-list"),
        ("{id: f, type: custom, levels: [a, ^a]}", "duplicate-entry"),
        ("{id: f, type: custom, levels: [^1, ^true, ^'']}", "wrong-type wrong-type empty-text"),
        ("{id: f, type: switch, name: ^' '}", "empty-text"),
        ("{id: f, type: switch, name: ^\u3000\u200b}", "empty-text"),
        ("{id: f, type: switch, description: ^' '}", "empty-text"),
        ("{id: f, type: switch, name: ^evil\u202egnp}", "bad-character"),
        ("{id: f, type: switch, description: ^evil\u2066gnp}", "bad-character"),
        ("{id: f, type: custom, levels: [a, ^b\u202c]}", "bad-character"),
        ("{id: f, type: switch, tags: ^[" + ", ".join(f"t{n}" for n in range(101)) + "]}", "too-many"),
        ("{id: f, type: switch, suspensions: [{^feature: f}]}", "unknown-key"),
        ("{id: f, type: switch, suspensions: [{from: ^yesterday}]}", "bad-instant"),
        ("{id: f, type: switch, suspensions: [{from: ^2026-11-01T00:00:00}]}", "bad-instant"),
        ("{id: f, type: switch, suspensions: [{from: ^2026-02-30}]}", "bad-instant"),
        ("{id: f, type: switch, suspensions: [{from: ^2026}]}", "wrong-type"),
        ("{id: f, type: switch, suspensions: [{from: 2026-01-02, until: ^2026-01-02}]}", "empty-period"),
    ],
)
def test_a_mistake_in_a_feature_is_reported_at_its_place(feature: str, codes: str, tmp_path: Path) -> None:
    """Each mistake is named once, where it stands."""
    text, marks = unmark(catalog(feature))
    expect(catalog_problems(tmp_path, text), marks, codes)


def test_text_of_several_scripts_is_text(tmp_path: Path) -> None:
    """Marks that text from right to left needs, joiners and 100 tags are no mistake."""
    tags = ", ".join(f"t{n}" for n in range(100))
    texts = "name: \u05d0\u200f (C\u200e), description: \u0645\u200c\u06cc"
    loaded = load(tmp_path, catalog(f"{{id: f, type: switch, {texts}, tags: [{tags}]}}"))
    assert len(loaded.features["f"].tags) == 100


def test_a_near_miss_is_named(tmp_path: Path) -> None:
    """A key or word that is almost right is answered with the right one."""
    text = catalog("{id: f, type: quantiy, decription: Text}")
    assert [problem.sentence for problem in catalog_problems(tmp_path, text)] == [
        "must be one of `switch`, `quantity`, `range`, `custom`, not the text `quantiy`, did you mean `quantity`?",
        "unknown key `decription`, did you mean `description`?",
    ]


def test_entitlements_of_a_broken_feature_are_not_blamed(tmp_path: Path) -> None:
    """A feature whose type is wrong is the one problem, not every item that gives it."""
    text, marks = unmark(
        "apiVersion: tiergate/v1\n"
        "features: [{id: f, type: ^swich}, {id: g, type: custom, levels: ^[]}]\n"
        "items: [{id: p, kind: plan, entitlements: {f: true, g: high}}]\n",
    )
    expect(catalog_problems(tmp_path, text), marks, "unknown-word empty-list")


@pytest.mark.parametrize("written", ["1e0", "1.0", "1.000", "10e-1", "0.1e1"])
@pytest.mark.parametrize("name", ["catalog.yaml", "catalog.json"])
def test_a_whole_number_may_be_written_with_digits_that_say_nothing(name: str, written: str, tmp_path: Path) -> None:
    """As everywhere, a number is what it is worth."""
    feature = f'{{"id": "f", "type": "quantity", "scale": {written}}}'
    text = f'{{"apiVersion": "tiergate/v1", "features": [{feature}], "items": []}}'
    assert load(tmp_path, text, name).features["f"].scale == 1


@pytest.mark.parametrize("written", ["1e999999999", "1.5", "1e-999999999", "10000000000000000000000000000000"])
def test_a_number_with_a_huge_exponent_is_refused_at_once(written: str, tmp_path: Path) -> None:
    """Nothing multiplies it out."""
    text, where = unmark(catalog(f"{{id: f, type: quantity, scale: ^{written}}}"))
    (problem,) = catalog_problems(tmp_path, text)
    assert [(problem.line, problem.column)] == where


@pytest.mark.parametrize("number", ["1125899906842624", "1000000000000001", "1.50", "1e15", "123456789012345.6"])
def test_numbers_may_have_as_many_digits_as_their_scale_leaves(number: str, tmp_path: Path) -> None:
    """They are exact, whatever a binary float would make of them."""
    text = catalog(f"{{id: f, type: quantity, scale: 1, levels: [{number}]}}")
    assert load(tmp_path, text).features["f"].numbers == (int(Decimal(number) * 10),)


def test_labels_that_look_the_same_are_the_same(tmp_path: Path) -> None:
    """A label is read in the normal form C, and so is whatever names it."""
    text, where = unmark(catalog('{id: f, type: custom, levels: ["K\u00f6ln", ^"Ko\u0308ln"]}'))
    (problem,) = catalog_problems(tmp_path, text)
    assert (problem.code, [(problem.line, problem.column)]) == ("duplicate-entry", where)
    named = 'items: [{id: p, kind: plan, entitlements: {f: "Ko\u0308ln"}}]'
    text = catalog('{id: f, type: custom, levels: ["K\u00f6ln", "x"]}').replace("items: []", named)
    assert load(tmp_path, text).items["p"].versions[0].entitlements == {"f": Level("K\u00f6ln")}
