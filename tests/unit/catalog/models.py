"""Random catalogs and subjects as model values: everything that the formats can say, and nothing that they cannot."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from msgspec.structs import replace

from tests.ids import OPAQUE
from tiergate.catalog import sort_catalog
from tiergate.catalog.reading.fields import text_fault
from tiergate.model import (
    BEGINNING,
    DEFAULT_LATE_MS,
    FOREVER,
    UNLIMITED,
    AddedAmount,
    Amount,
    Audience,
    AudienceType,
    Batch,
    CalendarUnit,
    Caps,
    Catalog,
    Combine,
    Customer,
    Definition,
    Draws,
    Feature,
    FeatureStatus,
    FeatureType,
    Item,
    ItemKind,
    ItemServiceLevel,
    ItemStatus,
    Ladder,
    Level,
    LimitKind,
    Metered,
    MeteredAmount,
    OfflineUse,
    Override,
    OverrideMode,
    Per,
    PlansPerSubscription,
    Rollout,
    SpendOrder,
    Status,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
    Switch,
    Term,
    Threshold,
    Value,
    WindowAnchor,
    parse_instant,
    sorted_thresholds,
)
from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

IDS = ("a", "B.2", "no", "5", "1e5", "null", "x-" + "y" * 98)
SUBJECT_IDS = (*IDS, *OPAQUE)
LABELS = (
    "email",
    "unlimited",
    "+10",
    "true",
    "no",
    "~",
    " a",
    "a ",
    "# x",
    "a: b",
    "-",
    "Ünï 🎬",
    '"',
    "'",
    "5",
    "{",
    "\\",
)
WORDS = st.one_of(
    st.sampled_from(["", *LABELS]),
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20).map(to_nfc),
    st.just("n" * 200),
).filter(lambda text: not text or text_fault(text, 200) is None)
PROSE = st.one_of(
    WORDS,
    st.text(
        st.one_of(st.sampled_from("\n\t \u2028\ufeff"), st.characters(exclude_categories=["Cc", "Cs"])), max_size=50
    ).map(to_nfc),
).filter(lambda text: not text or text_fault(text, 10_000, prose=True) is None)
METADATA = st.dictionaries(WORDS.filter(bool).map(lambda word: word[:100]), PROSE.filter(bool), max_size=3).map(
    lambda found: dict(sorted(found.items()))
)
EXTERNAL_IDS = st.dictionaries(st.sampled_from(IDS), WORDS.map(str.strip).filter(bool), max_size=2).map(
    lambda found: dict(sorted(found.items()))
)
INSTANTS = st.integers(parse_instant("0001-01-01"), parse_instant("9999-12-31T23:59:59.999Z"))
EDGE = 10**18


def units(least: int = 0, most: int = EDGE) -> st.SearchStrategy[int]:
    """Numbers that an edge can carry."""
    small = st.integers(least, min(most, least + 20_000))
    return st.one_of(small, st.integers(least, most)) if most > least else st.just(least)


@st.composite
def periods(draw: st.DrawFn) -> tuple[int, int]:
    """A beginning and an end, the one before the other."""
    start, until = sorted(draw(st.lists(INSTANTS, min_size=2, max_size=2, unique=True)))
    return draw(st.sampled_from([start, BEGINNING])), draw(st.sampled_from([until, FOREVER]))


@st.composite
def suspensions(draw: st.DrawFn, feature: str = "") -> Suspension:
    """A suspension."""
    start, until = draw(periods())
    return Suspension(feature, start, until, draw(PROSE))


def some(entries: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """A few of these, each once."""
    return st.lists(st.sampled_from(entries), unique=True, max_size=3).map(tuple) if entries else st.just(())


@st.composite
def own_service_levels(draw: st.DrawFn, least: int | None = None) -> ItemServiceLevel:
    """What an item promises of a feature: with its availability if `least` is given, and always with something."""

    def maybe(found: st.SearchStrategy[int]) -> int | None:
        return draw(st.none() | found)

    window = draw(st.none() | st.sampled_from(CalendarUnit))
    percent = st.integers(0, 1_000_000)
    return ItemServiceLevel(
        availability=maybe(percent) if least is None else draw(percent),
        latency_ms=maybe(st.integers(1, 3_600_000)),
        window=window,
        every=None if window is None else draw(st.integers(1, 10_000)),
        timezone=draw(st.none() | st.sampled_from(["UTC", "Europe/Berlin"])),
        spent_by=draw(st.none() | st.sampled_from([Status.DEGRADED, Status.PARTIAL, Status.DOWN])),
        least=maybe(st.integers(1, 1_000_000)),
        degraded=maybe(st.integers(1, 100)),
        down=draw(st.integers(1, 100)),
    )


@st.composite
def features(draw: st.DrawFn, id_: str) -> Feature:
    """A feature of any type."""
    type_ = draw(st.sampled_from(FeatureType))
    found = Feature(
        id=id_,
        type=type_,
        name=draw(WORDS),
        description=draw(PROSE),
        status=draw(st.sampled_from(FeatureStatus)),
        tags=draw(some(IDS)),
        linked=tuple(other for other in draw(some(IDS[:3])) if other != id_),
        suspensions=tuple(draw(st.lists(suspensions(), max_size=2))),
        labels=tuple(draw(st.lists(st.sampled_from(LABELS), min_size=1, unique=True)))
        if type_ is FeatureType.CUSTOM
        else (),
        service_level=draw(st.none() | own_service_levels(least=0).map(lambda own: own.promise(None))),
    )
    return draw(numeric(found)) if type_ in (FeatureType.QUANTITY, FeatureType.RANGE) else found


@st.composite
def numeric(draw: st.DrawFn, feature: Feature) -> Feature:
    """The feature with what features of numbers have beside the others."""
    optional = st.none() | units(1)
    found = replace(
        feature,
        scale=draw(st.integers(0, 6)),
        unit=draw(WORDS),
        combine=draw(st.sampled_from(Combine)),
        across=draw(st.sampled_from(Combine)),
    )
    if feature.type is FeatureType.RANGE:
        low, high = sorted([draw(units()), draw(units())])
        return replace(found, minimum=draw(st.sampled_from([low, None])), maximum=draw(st.sampled_from([high, None])))
    metered = draw(st.none() | meterings())
    found = replace(
        found,
        metered=metered,
        batch=draw(st.builds(Batch, optional, optional)),
        caps=draw(st.builds(Caps, optional if metered else st.none(), optional)),
    )
    if draw(st.booleans()):
        return found
    numbers = tuple(sorted(draw(st.sets(units(), max_size=4))))
    return replace(found, numbers=numbers, unlimited_level=draw(st.booleans()) or not numbers)


def thresholds() -> st.SearchStrategy[Threshold]:
    """Levels of usage."""
    return st.builds(Threshold, percent=st.integers(1, 1000)) | st.builds(Threshold, units=units(1))


@st.composite
def meterings(draw: st.DrawFn) -> Metered:
    """How usage is counted."""
    limit = draw(st.sampled_from(LimitKind))
    counted = Metered(
        limit=limit,
        overage_max=draw(st.none() | units(1)) if limit is LimitKind.SOFT else None,
        spend=draw(st.sampled_from(SpendOrder)),
        offline=draw(st.none() | st.sampled_from(OfflineUse)),
        thresholds=sorted_thresholds(draw(st.lists(thresholds(), max_size=3, unique=True))),
    )
    unit = draw(st.none() | st.sampled_from(CalendarUnit))
    if unit is None:
        return counted
    return replace(
        counted,
        reset=unit,
        every=draw(st.just(1) | st.integers(1, 10_000)),
        anchor=draw(st.sampled_from(WindowAnchor)),
        timezone=draw(st.sampled_from(["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])),
        rollover_max=draw(st.just(0) | units(1)),
        late=draw(st.just(DEFAULT_LATE_MS) | st.integers(0, 90 * 24 * 60).map(lambda minutes: minutes * 60_000)),
    )


@st.composite
def drawn(draw: st.DrawFn, known: dict[str, Feature]) -> dict[str, Feature]:
    """The features, some of which draw on one of the metered quantities."""
    metered = [feature for feature in known.values() if feature.metered is not None]
    if len(metered) < 2:
        return known
    source, *others = metered
    found = dict(known)
    for feature in others:
        if draw(st.booleans()):
            found[feature.id] = replace(feature, draws=Draws(source.id, draw(units(1)), source.scale))
    return found


@st.composite
def values(draw: st.DrawFn, feature: Feature) -> Value:
    """What an item may give of a feature."""
    if feature.type is FeatureType.SWITCH:
        return Switch(draw(st.booleans()))
    if feature.type is FeatureType.CUSTOM:
        return Level(draw(st.sampled_from(feature.labels)))
    per = draw(st.none() | st.sampled_from(Per))
    if draw(st.booleans()):
        return AddedAmount(draw(units()), per)
    can_be_unlimited = feature.unlimited_level and feature.maximum is None
    number = draw(amounts(feature))
    if feature.numbers is not None:
        found: list[Value] = [number(each, per) for each in feature.numbers]
        return draw(st.sampled_from([*found, *([UNLIMITED] if can_be_unlimited else [])]))
    if can_be_unlimited and draw(st.booleans()):
        return UNLIMITED
    least = feature.minimum or 0
    return number(draw(units(least, EDGE if feature.maximum is None else feature.maximum)), per)


@st.composite
def amounts(draw: st.DrawFn, feature: Feature) -> Callable[[int, Per | None], Amount]:
    """Make amounts of a feature, which may have a kind of limit of their own if it is metered."""
    if feature.metered is None or draw(st.booleans()):
        return Amount
    limit = draw(st.sampled_from(LimitKind))
    overage_max = draw(st.none() | units(1)) if limit is LimitKind.SOFT else None
    return partial(MeteredAmount, limit=limit, overage_max=overage_max)


@st.composite
def definitions(draw: st.DrawFn, version: int, known: Mapping[str, Feature]) -> Definition:
    """A version of an item."""
    chosen = draw(st.lists(st.sampled_from(sorted(known)), unique=True)) if known else []
    return Definition(version, {id_: draw(values(known[id_])) for id_ in chosen})


@st.composite
def rollouts(draw: st.DrawFn, versions: tuple[int, ...]) -> Rollout:
    """A rollout of one of the versions."""
    start = draw(INSTANTS | st.just(BEGINNING))
    audiences = [
        st.just(Audience()),
        st.integers(0, 10_000).map(lambda share: Audience(AudienceType.SHARE, share=share)),
        st.sampled_from(IDS).map(lambda tag: Audience(AudienceType.TAG, tag=tag)),
    ]
    if start != BEGINNING:
        audiences.append(st.just(Audience(AudienceType.NEW)))
    return Rollout(draw(st.sampled_from(versions)), start, draw(st.one_of(audiences)))


@st.composite
def items(draw: st.DrawFn, place: int, known: Mapping[str, Feature]) -> Item:
    """An item that can be held: what it names stands before it, and what it excludes nothing needs."""
    versions = tuple(draw(st.lists(st.integers(1, 999_999_999), min_size=1, max_size=3, unique=True)))
    before = IDS[1 : max(1, place - 1)]
    kind = ItemKind.PLAN if place < 2 else draw(st.sampled_from([ItemKind.ADDON, ItemKind.CHARGE]))
    return Item(
        id=IDS[place],
        kind=kind,
        name=draw(WORDS),
        description=draw(PROSE),
        versions=tuple(draw(definitions(version, known)) for version in versions),
        rollouts=draw(
            st.just((Rollout(max(versions)),)) | st.lists(rollouts(versions), max_size=3).map(tuple),
        ),
        available_for=() if kind is ItemKind.PLAN else draw(some(IDS[:1])),
        depends_on=draw(some(before)),
        excludes=() if place < len(IDS) - 1 else draw(some(IDS[place - 1 : place])),
        tags=draw(some(IDS)),
        private_to=draw(st.sampled_from(("", "", *SUBJECT_IDS))),
        status=draw(st.sampled_from(ItemStatus)),
        metadata=draw(METADATA),
        service_levels={
            id_: draw(own_service_levels(None if known[id_].service_level else 0)) for id_ in draw(some(tuple(known)))
        },
    )


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    """A catalog, in the order of the loader."""
    known = draw(drawn({id_: draw(features(id_)) for id_ in IDS[: draw(st.integers(3, 4))]}))
    count = draw(st.integers(0, 5) | st.just(len(IDS)))
    listed = [draw(items(place, known)) for place in range(count)]
    plans = [item.id for item in listed if item.kind is ItemKind.PLAN]
    ladders: tuple[Ladder, ...] = ()
    if len(plans) > 1:
        ladders = tuple(Ladder(id_, tuple(draw(st.permutations(plans)))) for id_ in draw(some(IDS)))
    return sort_catalog(
        Catalog(known, {item.id: item for item in listed}, ladders, draw(st.sampled_from(PlansPerSubscription)))
    )


@st.composite
def overrides(draw: st.DrawFn, known: Mapping[str, Feature]) -> tuple[Override, ...]:
    """Overrides of one subject, some with their default ids."""
    found: list[Override] = []
    counts: dict[str, int] = {}
    for _ in range(draw(st.integers(0, 3))):
        feature = known[draw(st.sampled_from(sorted(known)))]
        counts[feature.id] = counts.get(feature.id, 0) + 1
        is_number = feature.type in (FeatureType.QUANTITY, FeatureType.RANGE)
        mode = draw(st.sampled_from([it for it in OverrideMode if is_number or it is not OverrideMode.ADD]))
        start, until = draw(periods())
        id_ = draw(st.sampled_from([f"{feature.id}-{counts[feature.id]}", f"own.{len(found)}"]))
        value = None if mode is OverrideMode.DISABLED else draw(override_values(feature, mode))
        found.append(Override(id_, feature.id, mode, value, start, until, draw(WORDS), draw(PROSE)))
    return tuple(found)


def override_values(feature: Feature, mode: OverrideMode) -> st.SearchStrategy[Value]:
    """What an override may say of a feature."""
    if mode is OverrideMode.ADD:
        return st.builds(Amount, units(1))
    match feature.type:
        case FeatureType.SWITCH:
            return st.builds(Switch, st.booleans())
        case FeatureType.CUSTOM:
            return st.builds(Level, st.sampled_from(feature.labels))
        case FeatureType.QUANTITY | FeatureType.RANGE:
            plain = st.just(UNLIMITED) | st.builds(Amount, units())
            if mode is not OverrideMode.REPLACE or feature.metered is None:
                return plain
            return plain | amounts(feature).flatmap(lambda number: st.builds(number, units(), st.none()))


@st.composite
def held_items(draw: st.DrawFn, ids: tuple[str, ...], catalog: Catalog) -> SubscriptionItem:
    """A held item that needs no other."""
    item = catalog.items[draw(st.sampled_from(ids))]
    start, until = draw(periods())
    version = draw(st.none() | st.sampled_from([definition.version for definition in item.versions]))
    return SubscriptionItem(item.id, draw(st.integers(1, 1000)), version, draw(st.none() | INSTANTS), start, until)


@st.composite
def subscriptions(draw: st.DrawFn, id_: str, customer: str, catalog: Catalog) -> Subscription:
    """A subscription of items that can stand alone."""
    known = catalog.features
    alone = tuple(
        id_
        for id_, item in catalog.items.items()
        if not (item.available_for or item.depends_on or item.excludes)
        and item.private_to in ("", customer)
        and all(id_ not in other.excludes for other in catalog.items.values())
    )
    held = tuple(draw(st.lists(held_items(alone, catalog), max_size=2))) if alone else ()
    if catalog.plans is PlansPerSubscription.ONE:
        plans = [it for it in held if catalog.items[it.item].kind is ItemKind.PLAN]
        held = tuple(it for it in held if it not in plans[1:])
        held = held[:1] if len(plans) > 1 and plans[0] == plans[1] else held
    status = draw(st.sampled_from(SubscriptionStatus))
    resumed = [it for it in SubscriptionStatus if it not in (SubscriptionStatus.PAUSED, SubscriptionStatus.EXPIRED)]
    resumes_as = draw(st.none() | st.sampled_from(resumed)) if status is SubscriptionStatus.PAUSED else None
    needs = {status, resumes_as}
    start = draw(st.none() | INSTANTS)
    later = INSTANTS if start is None else INSTANTS.map(lambda instant: max(instant, start))
    end = draw(later) if SubscriptionStatus.CANCELED in needs else draw(st.none() | later)
    trial_end = draw(later) if SubscriptionStatus.TRIALING in needs else draw(st.none() | later)
    return Subscription(
        id_,
        customer,
        status,
        held,
        start,
        end,
        trial_end,
        draw(st.none() | later),
        draw(st.none() | INSTANTS),
        draw(overrides(known)),
        tuple(draw(st.lists(st.sampled_from(sorted(known)).flatmap(suspensions), max_size=2))),
        resumes_as,
        draw(st.none() | st.builds(Term, st.sampled_from(CalendarUnit), st.integers(1, 10_000), INSTANTS)),
        draw(METADATA),
        draw(EXTERNAL_IDS),
    )


@st.composite
def records(draw: st.DrawFn, catalog: Catalog) -> dict[str, SubjectRecord]:
    """Customers with what they hold, by id."""
    found: dict[str, SubjectRecord] = {}
    count = 0
    for id_ in sorted(draw(st.sets(st.sampled_from(SUBJECT_IDS), max_size=3))):
        customer = Customer(
            id_,
            tuple(sorted(draw(some(IDS)))),
            dict(sorted((key, draw(WORDS.filter(bool))) for key in draw(some(IDS)))),
            draw(overrides(catalog.features)),
            tuple(draw(st.lists(st.sampled_from(sorted(catalog.features)).flatmap(suspensions), max_size=2))),
            draw(WORDS),
            draw(METADATA),
            draw(EXTERNAL_IDS),
        )
        held = []
        for _ in range(draw(st.integers(0, 2))):
            count += 1
            held.append(draw(subscriptions(f"{id_[:250]}/{count}", id_, catalog)))
        found[id_] = SubjectRecord(customer, tuple(held))
    return found
