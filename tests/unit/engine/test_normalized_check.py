from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.unit.engine.small import FEATURES, check
from tiergate.engine.normalized_check import NormalizedCheck, default_amount, normalize_check
from tiergate.errors import CheckError, UnknownFeatureError, did_you_mean
from tiergate.model import Batch, Check, Feature, FeatureType, Subject

BY_ID = {feature.id: feature for feature in FEATURES}


def question(feature: str, **fields: Any) -> NormalizedCheck:  # noqa: ANN401 - fields of every type
    """What a check asks, in units."""
    return normalize_check(check(feature, **fields), BY_ID)[1]


def test_numbers_are_read_in_units_of_the_feature() -> None:
    """Half a gigabyte is five hundred thousandths."""
    assert question("storage", amount=Decimal("1.5"), used=2, user_used=Decimal("0.001")) == NormalizedCheck(
        amount=1_500, used=2_000, user_used=1
    )
    assert question("api-limit", value=800) == NormalizedCheck(value=800)


def test_a_level_is_read_as_its_rank() -> None:
    """From one for the lowest."""
    assert [question("support", level=level).rank for level in ("email", "chat", "phone")] == [1, 2, 3]


def test_a_check_that_names_nothing_asks_for_the_least() -> None:
    """One unit, the value 0, the lowest level; what was used is left open."""
    assert question("movies") == NormalizedCheck(amount=1, used=None, user_used=None)
    assert question("api-limit") == NormalizedCheck(value=0)
    assert question("support") == NormalizedCheck(rank=1)
    assert question("analytics") == NormalizedCheck()


@pytest.mark.parametrize(
    ("scale", "minimum", "increment", "amount"),
    [
        (0, None, None, 1),
        (3, None, None, 1_000),
        (3, 250, None, 250),
        (3, None, 500, 1_000),
        (3, None, 300, 1_200),
        (3, None, 5_000, 5_000),
        (0, 5, 2, 6),
        (0, 6, 2, 6),
        (0, 1, 7, 7),
        (0, 7, 7, 7),
        (0, 10**18, 10**18 - 1, 2 * (10**18 - 1)),
    ],
)
def test_the_default_amount_is_one_that_can_be_taken(
    scale: int, minimum: int | None, increment: int | None, amount: int
) -> None:
    """The minimum, or one whole unit where there is none; the next multiple of the increment."""
    feature = Feature(id="f", type=FeatureType.QUANTITY, scale=scale, batch=Batch(minimum=minimum, increment=increment))
    assert default_amount(feature) == amount


@pytest.mark.parametrize(
    ("feature", "fields", "field", "message"),
    [
        ("analytics", {"amount": 1}, "amount", "a switch such as `analytics` does not accept `amount`"),
        ("analytics", {"level": "chat"}, "level", "a switch such as `analytics` does not accept `level`"),
        ("movies", {"value": 1}, "value", "a quantity such as `movies` does not accept `value`"),
        ("movies", {"level": "chat"}, "level", "a quantity such as `movies` does not accept `level`"),
        ("api-limit", {"amount": 1}, "amount", "a range such as `api-limit` does not accept `amount`"),
        ("api-limit", {"used": 0}, "used", "a range such as `api-limit` does not accept `used`"),
        ("api-limit", {"user_used": 0}, "user_used", "a range such as `api-limit` does not accept `user_used`"),
        ("api-limit", {"level": ""}, "level", "a range such as `api-limit` does not accept `level`"),
        ("support", {"value": 1}, "value", "a custom such as `support` does not accept `value`"),
        ("movies", {"amount": 0}, "amount", "must be positive"),
        ("movies", {"amount": Decimal("0.0")}, "amount", "must be positive"),
        ("movies", {"amount": -1}, "amount", "must not be negative"),
        ("movies", {"amount": Decimal("1.5")}, "amount", "must be a whole number: the scale of `movies` is 0"),
        ("movies", {"amount": True}, "amount", "must be a number"),
        ("movies", {"used": -1}, "used", "must not be negative"),
        ("movies", {"user_used": Decimal("NaN")}, "user_used", "must be a finite number"),
        (
            "storage",
            {"amount": Decimal("1.0001")},
            "amount",
            "has more than 3 decimal digits: the scale of `storage` is 3",
        ),
        ("api-limit", {"value": 10**19}, "value", "is larger than 1000000000000000000"),
        ("support", {"level": "chad"}, "level", "`chad` is not a level of `support`, did you mean `chat`?"),
        ("support", {"level": ""}, "level", "`` is not a level of `support`"),
    ],
)
def test_what_does_not_fit_the_feature_is_a_mistake_that_names_the_field(
    feature: str, fields: dict[str, Any], field: str, message: str
) -> None:
    """Nothing is silently left out or rounded."""
    with pytest.raises(CheckError) as caught:
        question(feature, **fields)
    assert (caught.value.field, caught.value.detail + did_you_mean(caught.value.suggestion)) == (field, message)


def test_an_unknown_level_is_shown_in_part() -> None:
    """However long it is."""
    with pytest.raises(CheckError) as caught:
        question("support", level="x" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("id_", ["", " a", "x" * 257, "a\n", "a\tb", "\u202ea", "\ud800", "ext:crm:7", "e\u0301"])
def test_an_id_that_nobody_can_have_is_a_mistake(id_: str) -> None:
    """Of a subject or of its user."""
    with pytest.raises(CheckError) as caught:
        normalize_check(Check(Subject(id_), "analytics"), BY_ID)
    assert caught.value.field == "subject.id"
    with pytest.raises(CheckError) as caught:
        normalize_check(Check(Subject("acme", user=id_), "analytics"), BY_ID)
    assert caught.value.field == "subject.user"


def test_an_unknown_feature_is_a_mistake_that_names_a_near_one() -> None:
    """Where there is one; a long name is shown in part."""
    with pytest.raises(UnknownFeatureError) as caught:
        question("analitics")
    assert caught.value.suggestion == "analytics"
    with pytest.raises(UnknownFeatureError) as caught:
        question("z" * 100_000)
    assert caught.value.suggestion is None
    assert len(str(caught.value)) < 300


def test_a_level_that_was_stored_in_another_form_is_still_asked_for() -> None:
    """A bundle of the version before may hold labels that are not in the normal form C."""
    stored = Feature(id="f", type=FeatureType.CUSTOM, labels=("low", "Ko\u0308ln"))
    check = Check(Subject("acme"), "f", level="K\u00f6ln")
    assert normalize_check(check, {"f": stored})[1].rank == 2
