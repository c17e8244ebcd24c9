"""Small catalogs and subjects for the engine's tests, compiled as real ones are."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from tiergate.bundle import Bundle
from tiergate.compiler import compile_catalog
from tiergate.engine import CacheLimits, Evaluator
from tiergate.model import (
    BEGINNING,
    FOREVER,
    AddedAmount,
    Amount,
    Batch,
    Caps,
    Catalog,
    Check,
    Combine,
    Customer,
    Definition,
    Feature,
    FeatureStatus,
    FeatureType,
    Item,
    ItemKind,
    Level,
    Metered,
    MeteredUsage,
    Number,
    Override,
    OverrideMode,
    Rollout,
    Rules,
    Subject,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
    Switch,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.model import Instant

NOW = 1_700_000_000_000
ACME = Subject("acme")
SUB = Subject("sub", SubjectType.SUBSCRIPTION)

ANALYTICS = Feature(id="analytics", type=FeatureType.SWITCH, tags=("reports",))
DRAFT = Feature(id="draft", type=FeatureType.SWITCH, status=FeatureStatus.DRAFT)
MOVIES = Feature(id="movies", type=FeatureType.QUANTITY, unit="movies/month", metered=Metered())
STORAGE = Feature(
    id="storage", type=FeatureType.QUANTITY, scale=3, combine=Combine.MAX, batch=Batch(minimum=1_000, increment=500)
)
SEATS = Feature(id="seats", type=FeatureType.QUANTITY, caps=Caps(per_user=3, total=8), metered=Metered())
API_LIMIT = Feature(id="api-limit", type=FeatureType.RANGE, unit="requests/min", minimum=100, maximum=1_000)
SUPPORT = Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "chat", "phone"))
FEATURES = (ANALYTICS, DRAFT, MOVIES, STORAGE, SEATS, API_LIMIT, SUPPORT)

GOLD: dict[str, Value] = {
    "analytics": Switch(on=True),
    "draft": Switch(on=True),
    "movies": Amount(50),
    "storage": Amount(10_000),
    "seats": Amount(5),
    "api-limit": Amount(800),
    "support": Level("chat"),
}
EXTRA: dict[str, Value] = {"movies": AddedAmount(10), "api-limit": Amount(300), "support": Level("email")}


def item(id_: str, given: dict[str, Value], kind: ItemKind = ItemKind.PLAN, version: int = 1) -> Item:
    """An item with one version, for everybody."""
    return Item(
        id=id_, kind=kind, versions=(Definition(version, dict(sorted(given.items()))),), rollouts=(Rollout(version),)
    )


def catalog(features: Iterable[Feature] = FEATURES, items: Iterable[Item] | None = None) -> Catalog:
    """A catalog; without items, with `gold@3` and the add-on `extra@1`."""
    standard = (item("gold", GOLD, version=3), item("extra", EXTRA, ItemKind.ADDON))
    listed = standard if items is None else tuple(items)
    return Catalog(
        {it.id: it for it in sorted(features, key=lambda it: it.id)},
        {it.id: it for it in sorted(listed, key=lambda it: it.id)},
    )


@cache
def _standard() -> Bundle:
    return Bundle.from_files(compile_catalog(catalog()))


def bundle(compiled: Catalog | None = None, rules: str = "", schema: str = "", entities: str = "") -> Bundle:
    """A bundle of a catalog, with rules in files called `house`, and a schema and entities of their own."""
    if compiled is None and not rules:
        return _standard()
    written = Rules(*({"house": text} if text else {} for text in (rules, schema, entities)))
    return Bundle.from_files(compile_catalog(compiled or catalog(), written))


def subscription(
    *items: SubscriptionItem | str,
    id_: str = "sub",
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE,
    overrides: tuple[Override, ...] = (),
    suspensions: tuple[Suspension, ...] = (),
    start: Instant | None = None,
    end: Instant | None = None,
) -> Subscription:
    """A subscription of acme."""
    held = tuple(SubscriptionItem(it) if isinstance(it, str) else it for it in items)
    return Subscription(id_, "acme", status, held, start, end, overrides=overrides, suspensions=suspensions)


def record(
    *subscriptions: Subscription,
    overrides: tuple[Override, ...] = (),
    suspensions: tuple[Suspension, ...] = (),
    tags: tuple[str, ...] = (),
    attributes: dict[str, str] | None = None,
) -> SubjectRecord:
    """What is known of acme."""
    return SubjectRecord(Customer("acme", tags, attributes or {}, overrides, suspensions), subscriptions)


def override(
    feature: str,
    value: Value | None,
    mode: OverrideMode = OverrideMode.REPLACE,
    id_: str = "o",
    start: Instant = BEGINNING,
    until: Instant = FOREVER,
) -> Override:
    """An override."""
    return Override(id_, feature, OverrideMode.DISABLED if value is None else mode, value, start, until)


class Subjects:
    """Subjects in memory, counting how often they are asked for."""

    def __init__(self, *records: SubjectRecord) -> None:
        self.records = list(records)
        self.asked = 0

    def find(self, subject: Subject) -> SubjectRecord | None:
        """The record of a customer, or of the customer who holds a subscription."""
        self.asked += 1
        for it in self.records:
            ids = [held.id for held in it.subscriptions]
            if subject.id in (ids if subject.type is SubjectType.SUBSCRIPTION else [it.customer.id]):
                return it
        return None


class Usage:
    """Usage that a test sets."""

    def __init__(self, used: int = 0, user_used: int = 0, total_used: int = 0) -> None:
        self.usage = MeteredUsage(used, user_used, total_used)

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        """The same for everybody."""
        del subject, feature, now
        return self.usage


def engine(
    *subscriptions: Subscription,
    compiled: Bundle | None = None,
    usage: Usage | None = None,
    limits: CacheLimits | None = None,
    of: SubjectRecord | None = None,
) -> Evaluator:
    """An engine that knows acme, with these subscriptions or this record."""
    known = Subjects(of if of is not None else record(*subscriptions))
    compiled = compiled if compiled is not None else bundle()
    if usage is None:
        return Evaluator(compiled, known, publication=17, limits=limits)
    return Evaluator(compiled, known, publication=17, usage=usage, limits=limits)


def check(
    feature: str,
    subject: Subject = ACME,
    *,
    amount: Number | None = None,
    used: Number | None = None,
    user_used: Number | None = None,
    value: Number | None = None,
    level: str | None = None,
) -> Check:
    """A check of acme, unless another subject is named."""
    return Check(subject, feature, amount, used, user_used, value, level)
