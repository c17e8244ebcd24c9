from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.marked import catalog_problems, expect, load, unmark
from tiergate.model import (
    UNLIMITED,
    AddedAmount,
    Amount,
    Audience,
    AudienceType,
    ItemStatus,
    Level,
    Per,
    Rollout,
    Switch,
    Value,
    parse_instant,
)

if TYPE_CHECKING:
    from pathlib import Path

FEATURES = """\
apiVersion: tiergate/v1
features:
  - {id: switch, type: switch}
  - {id: any, type: quantity, scale: 2}
  - {id: whole, type: quantity}
  - {id: stepped, type: quantity, levels: [20, 30, unlimited]}
  - {id: limited, type: quantity, levels: [20, 30]}
  - {id: range, type: range, min: 100, max: 1000}
  - {id: open, type: range}
  - {id: custom, type: custom, levels: [email, unlimited, "no", "10"]}
"""


def given(entitlements: str) -> str:
    """A catalog with one plan that gives this."""
    return FEATURES + f"items:\n  - {{id: p, kind: plan, entitlements: {entitlements}}}\n"


def items(*entries: str) -> str:
    """A catalog with these items."""
    return FEATURES + "items:\n" + "".join(f"  - {entry}\n" for entry in entries)


@pytest.mark.parametrize(
    ("entitlement", "value"),
    [
        ("switch: true", Switch(on=True)),
        ("switch: false", Switch(on=False)),
        ("any: 0", Amount(0)),
        ("any: -0", Amount(0)),
        ("any: 12.5", Amount(1250)),
        ("any: 12.50", Amount(1250)),
        ("any: 1e3", Amount(100_000)),
        ("any: 9999999999999.99", Amount(999_999_999_999_999)),
        ("any: unlimited", UNLIMITED),
        ("any: {value: 3, per: subscription}", Amount(300, Per.SUBSCRIPTION)),
        ("any: {value: 3, per: unit}", Amount(300, Per.UNIT)),
        ("any: {value: 3}", Amount(300)),
        ("any: {value: unlimited}", UNLIMITED),
        ("any: {add: 0.25}", AddedAmount(25)),
        ("any: {add: 1, per: subscription}", AddedAmount(100, Per.SUBSCRIPTION)),
        ("whole: 1000000000000000000", Amount(10**18)),
        ("whole: 5.0", Amount(5)),
        ("stepped: 30", Amount(30)),
        ("stepped: unlimited", UNLIMITED),
        ("stepped: {add: 7}", AddedAmount(7)),
        ("range: 100", Amount(100)),
        ("range: {add: 5000}", AddedAmount(5000)),
        ("open: unlimited", UNLIMITED),
        ("custom: unlimited", Level("unlimited")),
        ("custom: no", Level("no")),
        ('custom: "10"', Level("10")),
    ],
)
def test_an_entitlement_is_read_exactly(entitlement: str, value: Value, tmp_path: Path) -> None:
    """What fits the feature becomes the value that it says, in units of the feature's scale."""
    catalog = load(tmp_path, given("{" + entitlement + "}"))
    assert list(catalog.items["p"].versions[0].entitlements.values()) == [value]


@pytest.mark.parametrize(
    ("entitlement", "codes"),
    [
        ("^swich: true", "unknown-feature"),
        ("^'': true", "unknown-feature"),
        ("switch: ^1", "unfit-value"),
        ("switch: ^yes", "unfit-value"),
        ("switch: ^null", "unfit-value"),
        ("switch: ^", "unfit-value"),
        ("switch: ^{value: true}", "unfit-value"),
        ("switch: ^[true]", "unfit-value"),
        ("switch: ^unlimited", "unfit-value"),
        ("any: ^true", "unfit-value"),
        ("any: ^null", "unfit-value"),
        ("any: ^many", "unfit-value"),
        ('any: ^"5"', "unfit-value"),
        ("any: ^[5]", "unfit-value"),
        ("any: ^-1", "bad-number"),
        ("any: ^0.001", "bad-number"),
        ("any: ^1e99999999999999999999", "unclear-scalar"),
        ("any: ^1e30", "bad-number"),
        ("any: ^1e-30", "bad-number"),
        ("any: ^10000000000000000.01", "bad-number"),
        ("any: ^10000000000000001", "bad-number"),
        ("any: ^.inf", "unclear-scalar"),
        ("any: ^.nan", "unclear-scalar"),
        ("any: ^NaN", "unfit-value"),
        ("any: ^0x10", "unclear-scalar"),
        ("any: ^1_000", "unclear-scalar"),
        ("any: ^010", "unclear-scalar"),
        ("any: ^+5", "unclear-scalar"),
        (f"any: ^{'9' * 5000}", "unclear-scalar"),
        ("any: ^{}", "missing-key"),
        ("any: ^{per: unit}", "missing-key"),
        ("any: {value: ^true}", "unfit-value"),
        ("any: {value: ^{value: 1}}", "unfit-value"),
        ("any: {value: 1, ^add: 2}", "key-conflict"),
        ("any: {value: 1, per: ^seat}", "unknown-word"),
        ("any: {value: 1, ^pre: unit}", "unknown-key"),
        ("any: {value: unlimited, per: ^unit}", "unfit-value"),
        ("any: {add: ^-1}", "bad-number"),
        ("any: {add: ^unlimited}", "unfit-value"),
        ("any: {add: ^{add: 1}}", "unfit-value"),
        ("whole: ^0.5", "bad-number"),
        ("whole: ^1000000000000000001", "bad-number"),
        ("whole: ^2000000000000000000", "bad-number"),
        ("stepped: ^25", "unknown-level"),
        ("stepped: ^0", "unknown-level"),
        ("stepped: {value: ^25}", "unknown-level"),
        ("limited: ^unlimited", "unknown-level"),
        ("range: ^99", "unfit-value"),
        ("range: ^1001", "unfit-value"),
        ("range: ^unlimited", "unfit-value"),
        ("custom: ^chat", "unknown-level"),
        ("custom: ^10", "unfit-value"),
        ("custom: ^true", "unfit-value"),
        ("custom: ^{add: 1}", "unfit-value"),
    ],
)
def test_an_entitlement_that_does_not_fit_is_refused(entitlement: str, codes: str, tmp_path: Path) -> None:
    """What does not fit the feature's type, levels, bounds or scale is named where it stands."""
    text, marks = unmark(given("{" + entitlement + "}"))
    expect(catalog_problems(tmp_path, text), marks, codes)


def test_a_level_that_is_almost_right_is_answered_with_the_right_one(tmp_path: Path) -> None:
    """The suggestion comes from the feature's own levels."""
    (problem,) = catalog_problems(tmp_path, given("{custom: emial}"))
    assert problem.sentence == "`custom` has no level `emial`, did you mean `email`?"


def test_the_levels_of_a_quantity_are_listed_where_none_fits(tmp_path: Path) -> None:
    """The author sees what could stand there."""
    (problem,) = catalog_problems(tmp_path, given("{stepped: 25}"))
    assert problem.message == "`25` is not a level of `stepped`: it has 20, 30, `unlimited`"


def test_what_an_author_wrote_is_shown_on_one_line(tmp_path: Path) -> None:
    """Line breaks and long texts do not tear a message apart."""
    problems = catalog_problems(tmp_path, given('{custom: "a\\nb", switch: ' + "x" * 200 + "}"))
    assert [problem.message for problem in problems] == [
        "`custom` has no level `a\N{REPLACEMENT CHARACTER}b`: it has `email`, `unlimited`, `no`, `10`",
        f"`switch` is a switch: it must be `true` or `false`, not the text `{'x' * 60}…`",
    ]


def test_an_item_has_several_versions_lowest_first(tmp_path: Path) -> None:
    """The order in the file does not matter; without rollouts the highest is for everybody."""
    versions = "[{version: 7, entitlements: {whole: 7}}, {version: 2, entitlements: {whole: 2}}]"
    text = items(f"{{id: p, kind: plan, versions: {versions}}}")
    item = load(tmp_path, text).items["p"]
    assert [(definition.version, definition.entitlements) for definition in item.versions] == [
        (2, {"whole": Amount(2)}),
        (7, {"whole": Amount(7)}),
    ]
    assert item.rollouts == (Rollout(7),)


def test_rollouts_keep_the_order_of_the_file(tmp_path: Path) -> None:
    """The last one that fits decides, so their order says something."""
    text = items(
        "{id: p, kind: plan, version: 3, entitlements: {}, rollouts: ["
        "{version: 3, from: 2026-11-01T00:00:00Z, audience: new}, {version: 3, audience: {tag: beta}},"
        " {version: 3, audience: {share: 12.25}}, {version: 3, audience: {share: 25%}},"
        " {version: 3, audience: {share: '0.5%'}}, {version: 3, audience: everybody}, {version: 3}]}"
    )
    assert load(tmp_path, text).items["p"].rollouts == (
        Rollout(3, parse_instant("2026-11-01T00:00:00Z"), Audience(AudienceType.NEW)),
        Rollout(3, audience=Audience(AudienceType.TAG, tag="beta")),
        Rollout(3, audience=Audience(AudienceType.SHARE, share=1225)),
        Rollout(3, audience=Audience(AudienceType.SHARE, share=2500)),
        Rollout(3, audience=Audience(AudienceType.SHARE, share=50)),
        Rollout(3),
        Rollout(3),
    )


def test_no_rollouts_are_said_by_an_empty_list(tmp_path: Path) -> None:
    """An item can be prepared and rolled out to nobody."""
    assert load(tmp_path, items("{id: p, kind: plan, entitlements: {}, rollouts: []}")).items["p"].rollouts == ()


@pytest.mark.parametrize(
    ("item", "codes"),
    [
        ("^{kind: plan, entitlements: {}}", "missing-key"),
        ("^{id: p, entitlements: {}}", "missing-key"),
        ("^{id: p, kind: plan}", "missing-key"),
        ("^p", "wrong-type"),
        ("{id: p, kind: ^add-on, entitlements: {}}", "unknown-word"),
        ("{id: ^plan/p, kind: plan, entitlements: {}}", "bad-id"),
        ("{id: p, kind: plan, entitlements: ^}", "wrong-type"),
        ("{id: p, kind: plan, entitlements: ^[switch]}", "wrong-type"),
        ("{id: p, kind: plan, ^entitlement: {}, entitlements: {}}", "unknown-key"),
        ("{id: p, kind: plan, version: ^0, entitlements: {}}", "bad-number"),
        ("{id: p, kind: plan, version: ^1.5, entitlements: {}}", "wrong-type"),
        ("{id: p, kind: plan, version: ^1000000000, entitlements: {}}", "bad-number"),
        ("{id: p, kind: plan, versions: ^[]}", "empty-list"),
        ("{id: p, kind: plan, versions: ^{}}", "wrong-type"),
        ("{id: p, kind: plan, versions: [^1]}", "wrong-type"),
        ("{id: p, kind: plan, versions: [^{version: 1}]}", "missing-key"),
        ("{id: p, kind: plan, versions: [^{entitlements: {^x: 1}}]}", "missing-key unknown-feature"),
        (
            "{id: p, kind: plan, versions: [{version: 1, entitlements: {}}, {version: ^1, entitlements: {}}]}",
            "duplicate-version",
        ),
        (
            "{id: p, kind: plan, ^version: 1, ^entitlements: {}, versions: [{version: 1, entitlements: {}}]}",
            "key-conflict key-conflict",
        ),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [{version: ^2}]}", "unknown-version"),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [^{}]}", "missing-key"),
        ("{id: p, kind: plan, entitlements: {}, rollouts: ^{version: 1}}", "wrong-type"),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [{version: 1, ^until: 2027-01-01}]}", "unknown-key"),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [{version: 1, audience: ^all}]}", "unknown-word"),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [{version: 1, audience: ^new}]}", "missing-key"),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [{version: 1, audience: ^{}}]}", "key-conflict"),
        (
            "{id: p, kind: plan, entitlements: {}, rollouts: [{version: 1, audience: ^{share: 1, tag: a}}]}",
            "key-conflict",
        ),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [{version: 1, audience: {share: ^101}}]}", "bad-number"),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [{version: 1, audience: {share: ^-1}}]}", "bad-number"),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [{version: 1, audience: {share: ^0.125}}]}", "bad-number"),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [{version: 1, audience: {share: ^half}}]}", "bad-number"),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [{version: 1, audience: {share: ^true}}]}", "wrong-type"),
        ("{id: p, kind: plan, entitlements: {}, rollouts: [{version: 1, audience: {tag: ^''}}]}", "bad-id"),
    ],
)
def test_a_mistake_in_an_item_is_reported_at_its_place(item: str, codes: str, tmp_path: Path) -> None:
    """Each mistake is named once, where it stands."""
    text, marks = unmark(items(item))
    expect(catalog_problems(tmp_path, text), marks, codes)


def test_equal_catalogs_in_any_order_are_equal_values(tmp_path: Path) -> None:
    """Where order says nothing, it leaves no trace, not even in the order of the entries."""
    one = load(
        tmp_path,
        "apiVersion: tiergate/v1\n"
        "features: [{id: a, type: switch, tags: [y, x]}, {id: b, type: quantity}]\n"
        "items:\n"
        "  - {id: q, kind: addon, available_for: [r, p], excludes: [t, s], entitlements: {b: 1, a: true}}\n"
        "  - {id: p, kind: plan, entitlements: {}}\n"
        "  - {id: r, kind: plan, entitlements: {}}\n"
        "  - {id: s, kind: plan, entitlements: {}}\n"
        "  - {id: t, kind: plan, entitlements: {}}\n",
    )
    other = load(
        tmp_path,
        "items:\n"
        "  - {kind: plan, id: t, entitlements: {}}\n"
        "  - {kind: plan, id: s, entitlements: {}}\n"
        "  - {kind: plan, id: r, entitlements: {}}\n"
        "  - {kind: plan, id: p, entitlements: {}}\n"
        "  - {entitlements: {a: true, b: 1}, excludes: [s, t], available_for: [p, r], kind: addon, id: q}\n"
        "features: [{type: quantity, id: b}, {tags: [x, y], type: switch, id: a}]\n"
        "apiVersion: tiergate/v1\n",
    )
    assert one == other
    assert repr(one) == repr(other)


def test_an_item_has_a_status_and_metadata(tmp_path: Path) -> None:
    """An item is active unless the file says otherwise; metadata is kept by key."""
    written = "{id: p, kind: plan, status: archived, metadata: {stripe: price_1}, entitlements: {}}"
    found = load(tmp_path, items(written, "{id: q, kind: plan, entitlements: {}}")).items
    assert (found["p"].status, found["p"].metadata) == (ItemStatus.ARCHIVED, {"stripe": "price_1"})
    assert (found["q"].status, found["q"].metadata) == (ItemStatus.ACTIVE, {})


def test_the_metadata_of_an_item_is_not_in_the_index_of_a_bundle(tmp_path: Path) -> None:
    """It is for people and programs outside: no check needs it, and no revision changes with it."""
    written = "{{id: p, kind: plan, {0}entitlements: {{}}}}"
    bare, noted = (load(tmp_path, items(written.format(it))).index() for it in ("", "metadata: {a: b}, "))
    assert bare == noted
