from __future__ import annotations

import msgspec
import pytest

from tiergate.model import (
    BEGINNING,
    FOREVER,
    UNLIMITED,
    AddedAmount,
    Amount,
    Customer,
    Level,
    Override,
    OverrideMode,
    Per,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
    Switch,
)

START, MIDDLE, END = 100, 200, 300


def subscription(status: SubscriptionStatus, **dates: int) -> Subscription:
    """A subscription with these dates."""
    return msgspec.structs.replace(Subscription("s", "c", status), **dates)


def live(status: SubscriptionStatus, **dates: int) -> tuple[int, int] | None:
    """From when to when it counts; nothing where it never does."""
    interval = subscription(status, **dates).live_interval()
    return None if interval.start >= interval.until else (interval.start, interval.until)


@pytest.mark.parametrize("status", [SubscriptionStatus.ACTIVE, SubscriptionStatus.CANCELED])
def test_an_active_or_canceled_subscription_counts_from_start_to_end(status: SubscriptionStatus) -> None:
    """A canceled one runs out as it was paid for."""
    assert live(status, start=START, end=END) == (START, END)


def test_an_active_subscription_without_dates_counts_always() -> None:
    """Dates that are not given bound nothing."""
    assert live(SubscriptionStatus.ACTIVE) == (BEGINNING, FOREVER)
    assert live(SubscriptionStatus.ACTIVE, start=START) == (START, FOREVER)
    assert live(SubscriptionStatus.ACTIVE, end=END) == (BEGINNING, END)


@pytest.mark.parametrize(
    ("status", "date"), [(SubscriptionStatus.TRIALING, "trial_end"), (SubscriptionStatus.PAST_DUE, "grace_until")]
)
def test_a_trial_and_a_grace_period_end_at_their_own_date(status: SubscriptionStatus, date: str) -> None:
    """Or at the subscription's end, if that comes first; and not before they start."""
    assert live(status, start=START, **{date: MIDDLE}) == (START, MIDDLE)
    assert live(status, end=END, **{date: MIDDLE}) == (BEGINNING, MIDDLE)
    assert live(status, end=MIDDLE, **{date: END}) == (BEGINNING, MIDDLE)
    assert live(status, start=MIDDLE, **{date: START}) is None


def test_a_paused_subscription_counts_again_from_the_date_of_resuming() -> None:
    """Within its start and end."""
    status = SubscriptionStatus.PAUSED
    assert live(status, resume_at=MIDDLE) == (MIDDLE, FOREVER)
    assert live(status, start=START, end=END, resume_at=MIDDLE) == (MIDDLE, END)
    assert live(status, start=MIDDLE, resume_at=START) == (MIDDLE, FOREVER)
    assert live(status, end=MIDDLE, resume_at=MIDDLE) is None


@pytest.mark.parametrize(
    "status",
    [
        SubscriptionStatus.TRIALING,
        SubscriptionStatus.PAST_DUE,
        SubscriptionStatus.CANCELED,
        SubscriptionStatus.PAUSED,
        SubscriptionStatus.EXPIRED,
    ],
)
def test_without_the_date_that_it_needs_a_subscription_never_counts(status: SubscriptionStatus) -> None:
    """No grace is given that was not said."""
    assert live(status, start=START) is None
    assert live(status) is None


def test_an_expired_subscription_never_counts() -> None:
    """Whatever its dates say."""
    dates = dict.fromkeys(("end", "trial_end", "grace_until", "resume_at"), END)
    assert live(SubscriptionStatus.EXPIRED, start=START, **dates) is None


@pytest.mark.parametrize("status", SubscriptionStatus)
def test_dates_of_another_status_bound_nothing(status: SubscriptionStatus) -> None:
    """A trial that was is no bound of what is active now."""
    own = {SubscriptionStatus.TRIALING: {"trial_end": END}, SubscriptionStatus.PAST_DUE: {"grace_until": END}}
    own |= {SubscriptionStatus.CANCELED: {"end": END}, SubscriptionStatus.PAUSED: {"resume_at": START}}
    dates = own.get(status, {})
    others = {name: MIDDLE for name in ("trial_end", "grace_until", "resume_at") if name not in dates}
    assert live(status, **dates, **others) == live(status, **dates)


RECORD = SubjectRecord(
    Customer(
        "acme",
        ("eu",),
        {"region": "eu"},
        (
            Override("o-1", "analytics", OverrideMode.REPLACE, Switch(on=True), 1, 2),
            Override("o-2", "movies", OverrideMode.AT_LEAST, UNLIMITED),
            Override("o-3", "support", OverrideMode.REPLACE, Level("phone")),
            Override("o-4", "support", OverrideMode.DISABLED, None),
        ),
        (Suspension("movies", 3, 4),),
    ),
    (
        Subscription(
            "sub_1",
            "acme",
            SubscriptionStatus.PAST_DUE,
            (SubscriptionItem("gold"), SubscriptionItem("extra", 2, 7, 5, 6, 7)),
            1,
            2,
            3,
            4,
            5,
            (Override("o-5", "movies", OverrideMode.REPLACE, Amount(5, Per.UNIT)),),
            (Suspension("support"),),
        ),
    ),
)

GOLDEN = (
    "9298a461636d6591a2657581a6726567696f6ea265759498a36f2d31a9616e616c7974696373a77265706c61636592a173c30102a0a0"
    "98a36f2d32"
)


def test_a_record_survives_its_compact_form() -> None:
    """Decoding gives the same record, validated."""
    packed = msgspec.msgpack.encode(RECORD)
    assert msgspec.msgpack.decode(packed, type=SubjectRecord) == RECORD


def test_the_order_of_the_fields_of_a_record_is_a_format() -> None:
    """Older records stay readable: fields are only ever added at the end."""
    assert msgspec.json.decode(msgspec.json.encode(RECORD)) == [
        [
            "acme",
            ["eu"],
            {"region": "eu"},
            [
                ["o-1", "analytics", "replace", ["s", True], 1, 2, "", ""],
                ["o-2", "movies", "at_least", ["u"], BEGINNING, FOREVER, "", ""],
                ["o-3", "support", "replace", ["l", "phone"], BEGINNING, FOREVER, "", ""],
                ["o-4", "support", "disabled", None, BEGINNING, FOREVER, "", ""],
            ],
            [["movies", 3, 4, ""]],
            "",
            {},
            {},
        ],
        [
            [
                "sub_1",
                "acme",
                "past_due",
                [["gold", 1, None, None, BEGINNING, FOREVER], ["extra", 2, 7, 5, 6, 7]],
                1,
                2,
                3,
                4,
                5,
                [["o-5", "movies", "replace", ["n", 5, "unit"], BEGINNING, FOREVER, "", ""]],
                [["support", BEGINNING, FOREVER, ""]],
                None,
                None,
                {},
                {},
            ]
        ],
    ]
    assert msgspec.msgpack.encode(RECORD).hex().startswith(GOLDEN)
    assert msgspec.json.decode(msgspec.json.encode(AddedAmount(5))) == ["x", 5, None]


def test_a_record_from_before_a_field_was_added_is_read() -> None:
    """What an older record does not say is the default."""
    old = msgspec.msgpack.encode([["acme"], [["sub_1", "acme", "active", [["gold"]]]]])
    assert msgspec.msgpack.decode(old, type=SubjectRecord) == SubjectRecord(
        Customer("acme"), (Subscription("sub_1", "acme", SubscriptionStatus.ACTIVE, (SubscriptionItem("gold"),)),)
    )


@pytest.mark.parametrize(
    "record",
    [
        [],
        [["acme"], [["sub_1", "acme", "sleeping"]]],
        [["acme", ["eu"], {"size": 7}]],
        [["acme", [], {}, [["o", "movies", "replace", ["z", 5]]]]],
        [["acme", [], {}, [["o", "movies", "replace", ["n", "5"]]]]],
        [["acme", [], {}, [["o", "movies", "replace", ["n", 5.5]]]]],
    ],
)
def test_a_record_of_other_types_is_refused(record: list[object]) -> None:
    """A torn or foreign record is an error, never half a subject."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=SubjectRecord)
