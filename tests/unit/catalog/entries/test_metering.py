from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.unit.catalog.marked import catalog_problems, expect, load, load_people, subjects_problems, unmark
from tiergate.catalog import dump_catalog, feature_data
from tiergate.catalog.entries.metering import NEVER, time_zones
from tiergate.model import (
    AddedAmount,
    Amount,
    CalendarUnit,
    Draws,
    LimitKind,
    Metered,
    MeteredAmount,
    OfflineUse,
    Per,
    SpendOrder,
    Threshold,
    WindowAnchor,
)

if TYPE_CHECKING:
    from pathlib import Path

CREDITS = "{id: credits, type: quantity, scale: 2, metered: {reset: never}}"


def catalog(*features: str, entitlements: str = "{}") -> str:
    """A catalog of features, and a plan that gives some."""
    lines = "".join(f"  - {feature}\n" for feature in features)
    return f"apiVersion: tiergate/v1\nfeatures:\n{lines}items: [{{id: p, kind: plan, entitlements: {entitlements}}}]\n"


def metered(text: str) -> str:
    """A feature of scale 1 that is metered so."""
    return f"{{id: f, type: quantity, scale: 1, metered: {text}}}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{reset: never}", Metered()),
        ("{reset: week}", Metered(CalendarUnit.WEEK)),
        ("{reset: {every: 1, of: week}}", Metered(CalendarUnit.WEEK)),
        ("{reset: {every: 10000, of: hour}}", Metered(CalendarUnit.HOUR, 10_000)),
        ("{reset: day, timezone: UTC}", Metered(CalendarUnit.DAY)),
        ("{reset: day, late: 3 days}", Metered(CalendarUnit.DAY)),
        ("{reset: day, late: 0 minutes}", Metered(CalendarUnit.DAY, late=0)),
        (
            "{reset: day, thresholds: [50, 100%, 0.5, 80%]}",
            Metered(
                CalendarUnit.DAY,
                thresholds=(Threshold(80), Threshold(100), Threshold(units=5), Threshold(units=500)),
            ),
        ),
        ("{reset: day, late: 1 hour}", Metered(CalendarUnit.DAY, late=3_600_000)),
        ("{reset: day, late: 90 days}", Metered(CalendarUnit.DAY, late=90 * 86_400_000)),
        ("{reset: never, limit: soft}", Metered(limit=LimitKind.SOFT)),
        ("{reset: never, limit: soft, overage_max: 0.5}", Metered(limit=LimitKind.SOFT, overage_max=5)),
        (
            (
                "{reset: {every: 3, of: month}, anchor: first_use, timezone: Europe/Berlin, rollover: {max: 2.5}, "
                "late: 90 minutes, spend: grants_first, offline: allow}"
            ),
            Metered(
                CalendarUnit.MONTH,
                3,
                WindowAnchor.FIRST_USE,
                "Europe/Berlin",
                rollover_max=25,
                late=90 * 60_000,
                spend=SpendOrder.GRANTS_FIRST,
                offline=OfflineUse.ALLOW,
            ),
        ),
    ],
)
def test_every_setting_arrives_in_the_model_and_is_written_back(text: str, expected: Metered, tmp_path: Path) -> None:
    """Numbers are in units of the scale, durations in milliseconds."""
    loaded = load(tmp_path, catalog(metered(text)))
    assert loaded.features["f"].metered == expected
    assert load(tmp_path, dump_catalog(loaded)) == loaded


def test_defaults_are_not_written(tmp_path: Path) -> None:
    """What is as it is without a key has none."""
    text = "{reset: day, anchor: calendar, timezone: UTC, limit: hard, late: 72 hours, spend: allowance_first}"
    assert feature_data(load(tmp_path, catalog(metered(text))).features["f"])["metered"] == {"reset": "day"}


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("{reset: ^{every: 2}}", "missing-key"),
        ("{reset: {every: ^0, of: day}}", "bad-number"),
        ("{reset: {every: ^-1, of: day}}", "bad-number"),
        ("{reset: {every: ^10001, of: day}}", "bad-number"),
        ("{reset: {every: ^1.5, of: day}}", "wrong-type"),
        ("{reset: {every: 2, of: ^never}}", "unknown-word"),
        ("{reset: {every: 2, of: ^days}}", "unknown-word"),
        ("{reset: ^[day]}", "unknown-word"),
        ("{reset: never, ^anchor: calendar}", "key-conflict"),
        ("{reset: never, ^timezone: UTC, ^rollover: {max: 1}, ^late: 1 day}", "key-conflict " * 3),
        ("{reset: day, anchor: ^subscripton}", "unknown-word"),
        ("{reset: day, timezone: ^Europe/Berln}", "unknown-time-zone"),
        ("{reset: day, timezone: ^europe/berlin}", "unknown-time-zone"),
        ("{reset: day, timezone: ^localtime}", "unknown-time-zone"),
        ("{reset: day, timezone: ^../../etc/passwd}", "unknown-time-zone"),
        ("{reset: day, timezone: ^''}", "empty-text"),
        ("{reset: day, timezone: ^2}", "wrong-type"),
        ("{reset: day, limit: ^sofd}", "unknown-word"),
        ("{reset: day, limit: ^sofd, overage_max: 1}", "unknown-word"),
        ("{reset: day, ^overage_max: 1}", "key-conflict"),
        ("{reset: day, limit: hard, ^overage_max: 1}", "key-conflict"),
        ("{reset: day, limit: soft, overage_max: ^0}", "bad-number"),
        ("{reset: day, limit: soft, overage_max: ^-1}", "bad-number"),
        ("{reset: day, limit: soft, overage_max: ^0.25}", "bad-number"),
        ("{reset: day, limit: soft, overage_max: ^unlimited}", "wrong-type"),
        ("{reset: day, rollover: ^5}", "wrong-type"),
        ("{reset: day, rollover: ^{}}", "missing-key"),
        ("{reset: day, rollover: {max: ^0}}", "bad-number"),
        ("{reset: day, rollover: {max: ^-1}}", "bad-number"),
        ("{reset: day, rollover: {max: ^0.25}}", "bad-number"),
        ("{reset: day, late: ^3}", "wrong-type"),
        ("{reset: day, late: ^3 weeks}", "bad-duration"),
        ("{reset: day, late: ^-3 days}", "bad-duration"),
        ("{reset: day, late: ^91 days}", "bad-duration"),
        ("{reset: day, late: ^129601 minutes}", "bad-duration"),
        ("{reset: day, spend: ^grants}", "unknown-word"),
        ("{reset: day, offline: ^true}", "unknown-word"),
        ("{reset: day, ^ofline: deny}", "unknown-key"),
    ],
)
def test_a_mistake_in_metered_is_reported_at_its_place(text: str, codes: str, tmp_path: Path) -> None:
    """Each mistake is named once, where it stands."""
    written, marks = unmark(catalog(metered(text)))
    expect(catalog_problems(tmp_path, written), marks, codes)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("utc", "UTC"),
    ],
)
def test_an_unknown_time_zone_is_answered_with_the_likely_one(name: str, meant: str, tmp_path: Path) -> None:
    """Near misses, other capitals, and cities without their continent."""
    (problem,) = catalog_problems(tmp_path, catalog(metered(f"{{reset: day, timezone: {name}}}")))
    assert (problem.code, problem.suggestion) == ("unknown-time-zone", meant)


def test_a_misspelt_unit_is_answered_with_the_likely_one(tmp_path: Path) -> None:
    """The word for no unit is among the candidates."""
    for written, meant in (("nevr", NEVER), ("months", "month"), ("{every: 2, of: weeks}", "week")):
        (problem,) = catalog_problems(tmp_path, catalog(metered(f"{{reset: {written}}}")))
        assert (problem.code, problem.suggestion) == ("unknown-word", meant)


def test_no_zone_depends_on_the_machine() -> None:
    """The machine's own zone has no name that a catalog could use."""
    assert "localtime" not in time_zones()
    assert {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"} <= time_zones()


@pytest.mark.parametrize("first", [True, False])
def test_a_feature_draws_on_another_in_its_scale(tmp_path: Path, *, first: bool) -> None:
    """Whichever of the two stands first."""
    drawing = "{id: f, type: quantity, scale: 6, metered: {reset: day}, draws: {from: credits, cost: 1.25}}"
    loaded = load(tmp_path, catalog(*((CREDITS, drawing) if first else (drawing, CREDITS))))
    assert loaded.features["f"].draws == Draws("credits", 125, 2)
    assert load(tmp_path, dump_catalog(loaded)) == loaded


@pytest.mark.parametrize(
    ("draws", "codes"),
    [
        ("^credits", "wrong-type"),
        ("^{from: credits}", "missing-key"),
        ("^{cost: 1}", "missing-key"),
        ("{from: credits, cost: 1, ^costs: 1}", "unknown-key"),
        ("{from: ^credit, cost: 1}", "unknown-feature"),
        ("{from: ^a b, cost: 1}", "bad-id"),
        ("{from: ^f, cost: 1}", "self-reference"),
        ("{from: ^g, cost: 1}", "unfit-source"),
        ("{from: ^h, cost: 1}", "unfit-source"),
        ("{from: ^i, cost: 1}", "unfit-source"),
        ("{from: ^j, cost: 1}", "unfit-source"),
        ("{from: credits, cost: ^0}", "bad-number"),
        ("{from: credits, cost: ^-1}", "bad-number"),
        ("{from: credits, cost: ^0.125}", "bad-number"),
        ("{from: credits, cost: ^much}", "wrong-type"),
        ("{from: credits, cost: ^true}", "wrong-type"),
    ],
)
def test_a_mistake_in_draws_is_reported_at_its_place(draws: str, codes: str, tmp_path: Path) -> None:
    """`g` is not counted, `h` no quantity, `i` a range, `j` draws itself."""
    features = (
        f"{{id: f, type: quantity, metered: {{reset: day}}, draws: {draws}}}",
        "{id: g, type: quantity}",
        "{id: h, type: switch}",
        "{id: i, type: range}",
        "{id: j, type: quantity, metered: {reset: day}, draws: {from: credits, cost: 1}}",
        CREDITS,
    )
    written, marks = unmark(catalog(*features))
    expect(catalog_problems(tmp_path, written), marks, codes)


def test_a_source_that_is_misspelt_is_answered_with_the_likely_one(tmp_path: Path) -> None:
    """As any other id."""
    drawing = "{id: f, type: quantity, metered: {reset: day}, draws: {from: credit, cost: 1}}"
    (problem,) = catalog_problems(tmp_path, catalog(drawing, CREDITS))
    assert (problem.code, problem.suggestion) == ("unknown-feature", "credits")


@pytest.mark.parametrize(
    ("feature", "codes"),
    [
        ("{id: f, type: quantity, ^draws: {from: credits, cost: 1}}", "draws-not-metered"),
        ("{id: f, type: range, ^draws: {from: credits, cost: 1}}", "key-not-for-type"),
        ("{id: f, type: switch, ^draws: {from: credits, cost: 1}}", "key-not-for-type"),
    ],
)
def test_only_a_metered_quantity_draws(feature: str, codes: str, tmp_path: Path) -> None:
    """Nothing else has usage that could be counted twice."""
    written, marks = unmark(catalog(feature, CREDITS))
    problems = catalog_problems(tmp_path, written)
    expect([problem for problem in problems if problem.code in codes], marks, codes)


def test_a_broken_source_is_the_one_problem(tmp_path: Path) -> None:
    """What draws on it is not blamed, and its cost is not judged by a scale that nobody knows."""
    broken = "{id: credits, type: quantity, scale: ^9, metered: {reset: never}}"
    drawing = "{id: f, type: quantity, metered: {reset: day}, draws: {from: credits, cost: 0.5}}"
    written, marks = unmark(catalog(broken, drawing))
    expect(catalog_problems(tmp_path, written), marks, "bad-number")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{value: 100, limit: soft}", MeteredAmount(100, None, LimitKind.SOFT)),
        ("{value: 100, limit: hard}", MeteredAmount(100, None, LimitKind.HARD)),
        ("{value: 100, limit: soft, overage_max: 20}", MeteredAmount(100, None, LimitKind.SOFT, 20)),
        ("{value: 1, per: subscription, limit: soft}", MeteredAmount(1, Per.SUBSCRIPTION, LimitKind.SOFT)),
        ("{value: 1, per: unit}", Amount(1, Per.UNIT)),
        ("{value: 1}", Amount(1)),
        ("{add: 1}", AddedAmount(1)),
    ],
)
def test_an_entitlement_may_say_otherwise_than_its_feature(
    value: str, expected: Amount | AddedAmount, tmp_path: Path
) -> None:
    """In what happens above its number, and only if it names it."""
    loaded = load(tmp_path, catalog("{id: f, type: quantity, metered: {reset: day}}", entitlements=f"{{f: {value}}}"))
    assert loaded.items["p"].versions[0].entitlements == {"f": expected}
    assert load(tmp_path, dump_catalog(loaded)) == loaded


@pytest.mark.parametrize(
    ("value", "codes"),
    [
        ("{value: 1, limit: ^sofd}", "unknown-word"),
        ("{value: 1, ^overage_max: 1}", "key-conflict"),
        ("{value: 1, limit: hard, ^overage_max: 1}", "key-conflict"),
        ("{value: 1, limit: soft, overage_max: ^0}", "bad-number"),
        ("{value: 1, limit: soft, overage_max: ^0.5}", "bad-number"),
        ("{value: ^-1, limit: soft}", "bad-number"),
        ("{value: unlimited, ^limit: soft}", "key-conflict"),
        ("{add: 1, ^limit: soft}", "key-conflict"),
        ("^{limit: soft}", "missing-key"),
        ("{value: ^3, limit: soft}", "unknown-level"),
    ],
)
def test_a_mistake_in_a_limit_is_reported_at_its_place(value: str, codes: str, tmp_path: Path) -> None:
    """Each mistake is named once, where it stands."""
    feature = "{id: f, type: quantity, levels: [1, unlimited], metered: {reset: day}}"
    written, marks = unmark(catalog(feature, entitlements=f"{{f: {value}}}"))
    expect(catalog_problems(tmp_path, written), marks, codes)


@pytest.mark.parametrize(
    ("feature", "value", "codes"),
    [
        ("{id: f, type: quantity}", "{value: 1, ^limit: soft, overage_max: 1}", "limit-not-metered"),
        ("{id: f, type: quantity}", "{value: 1, ^overage_max: 1}", "limit-not-metered"),
        ("{id: f, type: range}", "{value: 1, ^limit: soft}", "unknown-key"),
    ],
)
def test_only_counted_usage_has_a_kind_of_limit(feature: str, value: str, codes: str, tmp_path: Path) -> None:
    """A check that states its usage is allowed or denied."""
    written, marks = unmark(catalog(feature, entitlements=f"{{f: {value}}}"))
    expect(catalog_problems(tmp_path, written), marks, codes)


def subject(override: str) -> str:
    """A subjects file with one override of a customer."""
    return f"apiVersion: tiergate/v1\ncustomers:\n  - {{id: acme, overrides: [{override}]}}\n"


METERED = "{id: f, type: quantity, scale: 1, metered: {reset: day}}"


def test_an_override_may_say_otherwise_too(tmp_path: Path) -> None:
    """Its number is in units of the scale, and levels do not bind it."""
    known = load(tmp_path, catalog(METERED.replace("scale: 1", "scale: 1, levels: [1]")))
    text = subject("{feature: f, value: {value: 2.5, limit: soft, overage_max: 0.5}}")
    (override,) = load_people(tmp_path, known, text)["acme"].customer.overrides
    assert override.value == MeteredAmount(25, None, LimitKind.SOFT, 5)


@pytest.mark.parametrize(
    ("override", "codes"),
    [
        ("{feature: f, value: ^{limit: soft}}", "missing-key"),
        ("{feature: f, value: ^{value: 1}}", "wrong-type"),
        ("{feature: f, value: {value: 1, ^overage_max: 1}}", "key-conflict"),
        ("{feature: f, value: {value: ^0.25, limit: soft}}", "bad-number"),
        ("{feature: f, value: {value: unlimited, ^limit: soft}}", "key-conflict"),
        ("{feature: f, value: {value: 1, limit: soft, ^per: unit}}", "unknown-key"),
        ("{feature: f, mode: at_least, value: ^{value: 1, limit: soft}}", "wrong-type"),
        ("{feature: f, mode: add, value: ^{value: 1, limit: soft}}", "unfit-value"),
        ("{feature: g, value: {value: 1, ^limit: soft}}", "limit-not-metered"),
        ("{feature: h, value: ^{value: 1, limit: soft}}", "wrong-type"),
    ],
)
def test_a_mistake_in_the_limit_of_an_override_is_reported_at_its_place(
    override: str, codes: str, tmp_path: Path
) -> None:
    """`g` is not counted, `h` is a range."""
    known = load(tmp_path, catalog(METERED, "{id: g, type: quantity}", "{id: h, type: range}"))
    written, marks = unmark(subject(override))
    expect(subjects_problems(tmp_path, known, written), marks, codes)


def test_metered_settings_alone_distinguish_features(tmp_path: Path) -> None:
    """A feature whose settings differ is another one."""
    found = load(tmp_path, catalog(metered("{reset: day, limit: soft}"))).features["f"]
    assert found.metered is not None
    assert found != replace(found, metered=replace(found.metered, limit=LimitKind.HARD))
