from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.catalog.models import features, override_values, values
from tiergate.catalog import (
    SubjectReader,
    TotalBounds,
    ValueUse,
    check_draft,
    check_feature_change,
    check_feature_deletion,
    features_drawing_on,
    override_data,
    read_entitlement_body,
    read_override_body,
    to_json_line,
    value_data,
)
from tiergate.errors import BodyError, BodyProblem
from tiergate.model import (
    UNLIMITED,
    AddedAmount,
    Amount,
    CalendarUnit,
    Catalog,
    Draws,
    Feature,
    FeatureStatus,
    FeatureType,
    Level,
    LimitKind,
    Metered,
    MeteredAmount,
    Override,
    OverrideMode,
    Switch,
    Value,
)

SUPPORT = Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "chat", "phone"))
MOVIES = Feature(id="movies", type=FeatureType.QUANTITY, numbers=(20, 30, 50))
API = Feature(id="api", type=FeatureType.RANGE, minimum=100, maximum=1000)
CREDITS = Feature(id="credits", type=FeatureType.QUANTITY, metered=Metered())
SWITCH = Feature(id="reports", type=FeatureType.SWITCH)


def use(value: Value | None, *holders: str, is_bound: bool = True) -> ValueUse:
    """A use by these holders, or by one plan."""
    return ValueUse(value, holders or ("`plan/pro@7`",), len(holders) or 1, is_bound)


def codes(problems: list[BodyProblem]) -> list[tuple[str, str]]:
    """The pointer and code of each."""
    return [(problem.pointer, problem.code) for problem in problems]


# ── Features ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_type_of_a_feature_never_changes() -> None:
    """Nobody need hold it."""
    assert codes(check_feature_change(SWITCH, replace(SUPPORT, id="reports"), [])) == [("/type", "type-changed")]


def test_names_tags_and_texts_change_freely() -> None:
    """Whatever is mapped."""
    new = replace(MOVIES, name="Films", tags=("media",), unit="films", description="All of them")
    assert check_feature_change(MOVIES, new, [use(Amount(20))]) == []


def test_the_scale_does_not_change_while_it_is_mapped() -> None:
    """Neither up nor down; an override counts too."""
    new = replace(MOVIES, scale=2, numbers=None)
    assert codes(check_feature_change(MOVIES, new, [use(AddedAmount(5), is_bound=False)])) == [
        ("/scale", "scale-mapped")
    ]
    assert check_feature_change(MOVIES, new, []) == []
    assert check_feature_change(MOVIES, new, [use(None)]) == []


def test_a_mapped_level_cannot_be_removed() -> None:
    """One that nobody gives can; the refusal names the level and its holders."""
    (problem,) = check_feature_change(
        SUPPORT, replace(SUPPORT, labels=("email",)), [use(Level("phone"), "`plan/pro@7`", "the draft of `plan/max`")]
    )
    assert (problem.pointer, problem.code) == ("/levels", "level-mapped")
    assert "`phone`" in problem.detail
    assert "`plan/pro@7`, the draft of `plan/max`" in problem.detail


def test_many_holders_are_counted() -> None:
    """Three are named."""
    (problem,) = check_feature_change(
        SUPPORT, replace(SUPPORT, labels=("email",)), [ValueUse(Level("phone"), ("a", "b", "c", "d"), 12_000)]
    )
    assert problem.detail.endswith("a, b, c and 11,997 more")


def test_the_order_of_mapped_levels_cannot_change() -> None:
    """Others move around them."""
    mapped = [use(Level("email")), use(Level("phone"))]
    assert codes(check_feature_change(SUPPORT, replace(SUPPORT, labels=("phone", "chat", "email")), mapped)) == [
        ("/levels", "level-order")
    ]
    assert check_feature_change(SUPPORT, replace(SUPPORT, labels=("chat", "email", "new", "phone")), mapped) == []


def test_levels_of_numbers_bind_items_and_not_overrides() -> None:
    """An override's number need not be a level."""
    new = replace(MOVIES, numbers=(30,), unlimited_level=False)
    mapped = [use(Amount(20)), use(UNLIMITED), use(Amount(30)), use(AddedAmount(7)), use(Amount(50), is_bound=False)]
    assert codes(check_feature_change(MOVIES, new, mapped)) == [("/levels", "level-mapped")] * 2
    assert check_feature_change(MOVIES, replace(MOVIES, numbers=None), mapped) == []


def test_a_range_does_not_exclude_what_is_mapped() -> None:
    """Neither below nor above; unlimited has no maximum."""
    mapped = [use(Amount(100)), use(Amount(1000)), use(AddedAmount(1)), use(Amount(5000), is_bound=False)]
    assert codes(check_feature_change(API, replace(API, minimum=200, maximum=900), mapped)) == [
        ("/min", "value-excluded"),
        ("/max", "value-excluded"),
    ]
    assert codes(check_feature_change(replace(API, maximum=None), API, [use(UNLIMITED)])) == [
        ("/max", "value-excluded")
    ]
    assert check_feature_change(API, replace(API, minimum=None, maximum=None), mapped) == []


def test_a_feature_stays_metered_while_a_limit_of_its_own_is_given() -> None:
    """By an item or an override; plain numbers do not need it."""
    soft = MeteredAmount(5, None, LimitKind.SOFT)
    assert codes(check_feature_change(CREDITS, replace(CREDITS, metered=None), [use(Amount(5))])) == []
    for is_bound in (True, False):
        uses = [use(soft, is_bound=is_bound)]
        assert codes(check_feature_change(CREDITS, replace(CREDITS, metered=None), uses)) == [
            ("/metered", "limit-mapped")
        ]
        weekly = replace(CREDITS, metered=Metered(CalendarUnit.WEEK))
        assert codes(check_feature_change(CREDITS, weekly, uses)) == []


@pytest.mark.parametrize(
    ("new", "pointer"),
    [
        (replace(CREDITS, metered=None), "/metered"),
        (replace(CREDITS, scale=2), "/scale"),
        (replace(CREDITS, draws=Draws("other", 1)), "/draws"),
    ],
)
def test_what_features_draw_on_stays_a_metered_quantity_of_its_scale(new: Feature, pointer: str) -> None:
    """Only while something draws on it."""
    assert codes(check_feature_change(CREDITS, new, [])) == []
    (problem,) = check_feature_change(CREDITS, new, [], ["calls", "texts"])
    assert (problem.pointer, problem.code) == (pointer, "source-mapped")
    assert "`calls`, `texts`" in problem.detail


def test_who_draws_on_a_feature_is_found() -> None:
    """Not those that draw on another one, or on nothing."""
    known = {
        feature.id: feature
        for feature in (
            CREDITS,
            replace(CREDITS, id="z", draws=Draws("credits", 1)),
            replace(CREDITS, id="a", draws=Draws("credits", 1)),
            replace(CREDITS, id="b", draws=Draws("z", 1)),
        )
    }
    assert features_drawing_on("credits", known) == ["a", "z"]


@pytest.mark.parametrize("old", FeatureStatus)
@pytest.mark.parametrize("new", FeatureStatus)
def test_a_status_moves_along_its_way(old: FeatureStatus, new: FeatureStatus) -> None:
    """Draft, active, archived, and back to active."""
    allowed = old is new or (old.value, new.value) in {
        ("draft", "active"),
        ("active", "archived"),
        ("archived", "active"),
    }
    found = check_feature_change(replace(SWITCH, status=old), replace(SWITCH, status=new), [])
    assert codes(found) == ([] if allowed else [("/status", "status-move")])


def test_a_feature_is_deleted_when_it_is_neither_active_nor_in_use() -> None:
    """Both are said."""
    assert codes(check_feature_deletion(SWITCH, [use(Switch(False))])) == [
        ("", "feature-active"),
        ("", "feature-mapped"),
    ]
    for status in (FeatureStatus.DRAFT, FeatureStatus.ARCHIVED):
        assert check_feature_deletion(replace(SWITCH, status=status), []) == []
        assert codes(check_feature_deletion(replace(SWITCH, status=status), [use(None)])) == [("", "feature-mapped")]


def test_an_archived_feature_takes_no_new_entitlements() -> None:
    """An item that gives it already may go on, with another value too."""
    known = {"support": replace(SUPPORT, status=FeatureStatus.ARCHIVED), "movies": MOVIES}
    draft: dict[str, Value] = {"movies": Amount(20), "support": Level("chat")}
    assert codes(check_draft(draft, set(), known)) == [("/entitlements/support", "feature-archived")]
    assert check_draft(draft, {"support"}, known) == []


# ── Against an oracle ────────────────────────────────────────────────────────────────────────────────────────────────


def still_reads(old: Feature, new: Feature, held: Value, *, override: bool) -> bool:
    """Say whether what a file writes for a value still says the same value."""
    try:
        if not override:
            return read_entitlement_body(to_json_line(value_data(held, old)), new) == held
        catalog = Catalog({new.id: new}, {})
        reader = SubjectReader(catalog.index(), TotalBounds.of(catalog))
        wanted = Override("o", old.id, OverrideMode.REPLACE, held)
        return read_override_body(to_json_line(override_data(wanted, {old.id: old})), reader) == wanted
    except BodyError:
        return False


def may_become(old: Feature, new: Feature, held: list[tuple[Value, bool]]) -> bool:
    """The oracle: nobody's value reads differently, and of two levels the higher one stays so."""
    if old.type != new.type or (held and old.scale != new.scale):
        return False
    if (old.status, new.status) in {
        (FeatureStatus.ACTIVE, FeatureStatus.DRAFT),
        (FeatureStatus.ARCHIVED, FeatureStatus.DRAFT),
        (FeatureStatus.DRAFT, FeatureStatus.ARCHIVED),
    }:
        return False
    labels = [value.label for value, _ in held if isinstance(value, Level)]
    keeps_order = all(
        (old.rank(one) < old.rank(other)) == (new.rank(one) < new.rank(other)) for one in labels for other in labels
    )
    return keeps_order and all(still_reads(old, new, value, override=override) for value, override in held)


@given(st.data())
def test_an_edit_is_refused_exactly_when_it_changes_what_somebody_holds(data: st.DataObject) -> None:
    """By reading every held value again under the new feature."""
    old = data.draw(features("f"))
    definitions = data.draw(st.lists(values(old).map(lambda value: (value, False)), max_size=3))
    given_alone = override_values(old, OverrideMode.REPLACE)
    overrides = data.draw(st.lists(given_alone.map(lambda value: (value, True)), max_size=2))
    held = definitions + overrides
    new = data.draw(features("f"))
    if data.draw(st.integers(0, 9)):
        new = replace(
            old,
            status=data.draw(st.sampled_from(FeatureStatus)),
            labels=tuple(data.draw(st.permutations(new.labels or old.labels))) if old.labels else (),
            numbers=data.draw(st.sampled_from([old.numbers, (old.numbers or ())[1:], new.numbers]))
            if old.type is FeatureType.QUANTITY
            else None,
            unlimited_level=data.draw(st.booleans()) if old.type is FeatureType.QUANTITY else True,
            minimum=data.draw(st.sampled_from([old.minimum, new.minimum])) if old.type is FeatureType.RANGE else None,
            maximum=data.draw(st.sampled_from([old.maximum, new.maximum])) if old.type is FeatureType.RANGE else None,
        )
        if new.numbers is None:
            new = replace(new, unlimited_level=True)
    uses = [ValueUse(value, ("x",), 1, is_bound=not override) for value, override in held]
    assert (check_feature_change(old, new, uses) == []) == may_become(old, new, held)
