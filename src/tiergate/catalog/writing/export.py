"""Write catalogs and subjects as files: the inverse of the loaders, which read back equal values.

The functions that end in `_data` return the plain data of one entry, as in a file and in a body of the API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.catalog.entries.features import default_combine
from tiergate.catalog.entries.metering import NEVER, UTC
from tiergate.catalog.reading.files import API_VERSION
from tiergate.catalog.writing.printer import PlainData, to_json, to_json_line, to_yaml
from tiergate.catalog.writing.service_levels import calendar_period_data, service_level_data
from tiergate.model import (
    BEGINNING,
    DEFAULT_LATE_MS,
    FOREVER,
    AddedAmount,
    Amount,
    AudienceType,
    Catalog,
    Combine,
    Feature,
    FeatureStatus,
    FeatureType,
    Item,
    ItemStatus,
    Level,
    LimitKind,
    MeteredAmount,
    Override,
    OverrideMode,
    PlansPerSubscription,
    Rollout,
    SpendOrder,
    Switch,
    Unlimited,
    Value,
    WindowAnchor,
    format_duration,
    format_instant,
    from_units,
    threshold_data,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from enum import StrEnum
    from typing import Literal

    from tiergate.model import (
        Audience,
        CatalogIndex,
        Customer,
        Definition,
        IndexedItem,
        Instant,
        Metered,
        SubjectRecord,
        Subscription,
        SubscriptionItem,
        Suspension,
        Term,
    )

_Data = dict[str, PlainData]
_SHARE_DIGITS: Final = 2
_DATES: Final = ("start", "end", "trial_end", "grace_until", "resume_at")


def dump_catalog(catalog: Catalog, form: Literal["yaml", "json"] = "yaml") -> str:
    """Return the file that `load_catalog` reads back as an equal catalog."""
    data: _Data = {"apiVersion": API_VERSION}
    if catalog.plans is not PlansPerSubscription.ONE:
        data["plans"] = catalog.plans.value
    data |= {
        "features": [feature_data(feature) for feature in catalog.features.values()],
        "items": [item_data(item, catalog.features) for item in catalog.items.values()],
    }
    if catalog.ladders:
        data["ladders"] = [{"id": ladder.id, "plans": list(ladder.plans)} for ladder in catalog.ladders]
    return to_yaml(data) if form == "yaml" else to_json(data)


def dump_subjects(
    records: Iterable[SubjectRecord],
    index: CatalogIndex,
    form: Literal["yaml", "json"] = "yaml",
) -> str:
    """Return the file that `load_subjects` reads back as equal records; `index` is that of their catalog."""
    customers: list[PlainData] = []
    subscriptions: list[PlainData] = []
    for record in records:
        customers.append(customer_data(record.customer, index.features))
        subscriptions += [subscription_data(subscription, index.features) for subscription in record.subscriptions]
    data: _Data = {"apiVersion": API_VERSION, "customers": customers, "subscriptions": subscriptions}
    return to_yaml(data) if form == "yaml" else to_json(data)


def dump_subject_lines(records: Iterable[SubjectRecord], index: CatalogIndex) -> Iterator[str]:
    """Yield the lines of the NDJSON file of these records, each with its line break."""
    yield to_json_line({"apiVersion": API_VERSION}) + "\n"
    for record in records:
        customer = customer_data(record.customer, index.features)
        yield to_json_line({"type": "customer", **customer}) + "\n"
        for subscription in record.subscriptions:
            data = subscription_data(subscription, index.features)
            yield to_json_line({"type": "subscription", **data}) + "\n"


def feature_data(feature: Feature) -> _Data:
    """Return a feature as plain data."""
    scale = feature.scale
    batch, caps = feature.batch, feature.caps
    metered, draws = feature.metered, feature.draws
    return _without_empty(
        {
            "id": feature.id,
            "name": feature.name,
            "description": feature.description,
            "type": feature.type.value,
            "status": _unless(feature.status, FeatureStatus.ACTIVE),
            "unit": feature.unit,
            "scale": scale or None,
            "levels": _levels(feature),
            "combine": _unless(feature.combine, default_combine(feature.type)),
            "across": _unless(feature.across, Combine.SUM),
            "min": _number(feature.minimum, scale),
            "max": _number(feature.maximum, scale),
            "batch": _without_empty(
                {"minimum": _number(batch.minimum, scale), "increment": _number(batch.increment, scale)}
            ),
            "caps": _without_empty({"total": _number(caps.total, scale), "per_user": _number(caps.per_user, scale)}),
            "metered": None if metered is None else metered_data(metered, scale),
            "draws": None if draws is None else {"from": draws.source, "cost": from_units(draws.cost, draws.scale)},
            "service_level": None if feature.service_level is None else service_level_data(feature.service_level),
            "tags": list(feature.tags),
            "linked": list(feature.linked),
            "suspensions": [suspension_data(suspension) for suspension in feature.suspensions],
        }
    )


def metered_data(metered: Metered, scale: int) -> _Data:
    """Return how usage is counted as plain data; `scale`: the feature's decimal digits."""
    unit = metered.reset
    reset: PlainData = NEVER if unit is None else calendar_period_data(unit, metered.every)
    return _without_empty(
        {
            "reset": reset,
            "anchor": _unless(metered.anchor, WindowAnchor.CALENDAR),
            "timezone": None if metered.timezone == UTC else metered.timezone,
            "limit": _unless(metered.limit, LimitKind.HARD),
            "overage_max": _number(metered.overage_max, scale),
            "rollover": {"max": from_units(metered.rollover_max, scale)} if metered.rollover_max else None,
            "late": None if metered.late == DEFAULT_LATE_MS else format_duration(metered.late),
            "spend": _unless(metered.spend, SpendOrder.ALLOWANCE_FIRST),
            "offline": None if metered.offline is None else metered.offline.value,
            "thresholds": [threshold_data(threshold, scale) for threshold in metered.thresholds],
        }
    )


def _without_empty(data: Mapping[str, PlainData | None]) -> _Data:
    """Drop what files leave out: nothing, empty texts, lists and mappings."""
    return {key: value for key, value in data.items() if value is not None and value not in ("", [], {})}


def _unless(value: StrEnum, default: StrEnum) -> str | None:
    return None if value is default else value.value


def _number(units: int | None, scale: int) -> PlainData | None:
    return None if units is None else from_units(units, scale)


def _levels(feature: Feature) -> list[PlainData] | None:
    if feature.type is FeatureType.CUSTOM:
        return list(feature.labels)
    if feature.numbers is None:
        return None
    levels: list[PlainData] = [from_units(units, feature.scale) for units in feature.numbers]
    return [*levels, "unlimited"] if feature.unlimited_level else levels


def item_data(item: Item, features: Mapping[str, Feature]) -> _Data:
    """Return an item with all its versions and rollouts as plain data."""
    data = item_head_data(item)
    if len(item.versions) == 1:
        data |= definition_data(item.versions[0], features)
    else:
        data["versions"] = [definition_data(definition, features) for definition in item.versions]
    if item.rollouts != (Rollout(item.versions[-1].version),):
        data["rollouts"] = [rollout_data(rollout) for rollout in item.rollouts]
    return data


def item_head_data(item: Item | IndexedItem) -> _Data:
    """Return an item without its versions and rollouts as plain data."""
    return _without_empty(
        {
            "id": item.id,
            "kind": item.kind.value,
            "name": item.name,
            "description": item.description,
            "status": _unless(item.status, ItemStatus.ACTIVE),
            "tags": list(item.tags),
            "available_for": list(item.available_for),
            "depends_on": list(item.depends_on),
            "excludes": list(item.excludes),
            "private_to": item.private_to,
            "service_levels": _service_levels(item) if isinstance(item, Item) else None,
            "metadata": dict(item.metadata) if isinstance(item, Item) else None,
        }
    )


def _service_levels(item: Item) -> _Data:
    return {id_: service_level_data(level) for id_, level in item.service_levels.items()}


def definition_data(definition: Definition, features: Mapping[str, Feature]) -> _Data:
    """Return one version of an item as plain data."""
    return {"version": definition.version, "entitlements": entitlements_data(definition.entitlements, features)}


def entitlements_data(entitlements: Mapping[str, Value], features: Mapping[str, Feature]) -> _Data:
    """Return the entitlements of a version as plain data: feature → value."""
    return {id_: value_data(value, features[id_]) for id_, value in entitlements.items()}


def value_data(value: Value, feature: Feature) -> PlainData:
    """Return the value of one feature as plain data."""
    scale = feature.scale
    match value:
        case Switch(on):
            return on
        case Level(label):
            return label
        case Unlimited():
            return "unlimited"
        case MeteredAmount():
            return _metered_amount_data(value, scale)
        case Amount(units, None):
            return from_units(units, scale)
        case Amount(units, per):
            key = "value"
        case AddedAmount(units, per):
            key = "add"
    data: _Data = {key: from_units(units, scale)}
    if per is not None:
        data["per"] = per.value
    return data


def _metered_amount_data(value: MeteredAmount, scale: int) -> _Data:
    data: _Data = {"value": from_units(value.units, scale)}
    if value.per is not None:
        data["per"] = value.per.value
    data["limit"] = value.limit.value
    if value.overage_max is not None:
        data["overage_max"] = from_units(value.overage_max, scale)
    return data


def rollout_data(rollout: Rollout) -> _Data:
    """Return one rollout of an item as plain data."""
    audience = None if rollout.audience.type is AudienceType.EVERYBODY else audience_data(rollout.audience)
    return _without_empty({"version": rollout.version, **_period(rollout.start, FOREVER), "audience": audience})


def audience_data(audience: Audience) -> PlainData:
    """Return the audience of a rollout as plain data."""
    match audience.type:
        case AudienceType.EVERYBODY | AudienceType.NEW:
            return audience.type.value
        case AudienceType.SHARE:
            return {"share": from_units(audience.share, _SHARE_DIGITS)}
        case AudienceType.TAG:
            return {"tag": audience.tag}


def _period(start: Instant, until: Instant) -> dict[str, str | None]:
    return {
        "from": None if start == BEGINNING else _instant(start),
        "until": None if until == FOREVER else _instant(until),
    }


def _instant(instant: Instant) -> str:
    return format_instant(instant).replace(".000Z", "Z")


def suspension_data(suspension: Suspension) -> _Data:
    """Return a suspension as plain data."""
    return _without_empty(
        {"feature": suspension.feature, **_period(suspension.start, suspension.until), "reason": suspension.reason}
    )


def customer_data(customer: Customer, features: Mapping[str, Feature], *, every_id: bool = False) -> _Data:
    """Return a customer as plain data; with `every_id`, default ids of overrides are included."""
    data: _Data = {"id": customer.id}
    if customer.name:
        data["name"] = customer.name
    if customer.tags:
        data["tags"] = list(customer.tags)
    if customer.attributes:
        data["attributes"] = dict(customer.attributes)
    _add_shared(data, customer)
    _add_exceptions(data, customer, features, every_id=every_id)
    return data


def subscription_data(subscription: Subscription, features: Mapping[str, Feature], *, every_id: bool = False) -> _Data:
    """Return a subscription as plain data; with `every_id`, default ids of overrides are included."""
    data: _Data = {"id": subscription.id, "customer": subscription.customer, "status": subscription.status.value}
    for key in _DATES:
        instant = getattr(subscription, key)
        if instant is not None:
            data[key] = _instant(instant)
    if subscription.resumes_as is not None:
        data["resumes_as"] = subscription.resumes_as.value
    if subscription.term is not None:
        data["term"] = term_data(subscription.term)
    _add_shared(data, subscription)
    # `items` may be empty, and comes first among the lists: readers look for it.
    data["items"] = [subscription_item_data(entry) for entry in subscription.items]
    _add_exceptions(data, subscription, features, every_id=every_id)
    return data


def _add_shared(data: _Data, subject: Customer | Subscription) -> None:
    if subject.metadata:
        data["metadata"] = dict(subject.metadata)
    if subject.external_ids:
        data["external_ids"] = dict(subject.external_ids)


def term_data(term: Term) -> _Data:
    """Return the term of a subscription as plain data."""
    return _without_empty({"every": calendar_period_data(term.unit, term.count), "anchor": _instant(term.anchor)})


def subscription_item_data(entry: SubscriptionItem) -> _Data:
    """Return an item of a subscription as plain data."""
    data: _Data = {"item": entry.item, "quantity": entry.quantity}
    if entry.version is not None:
        data["version"] = entry.version
    if entry.added_at is not None:
        data["added_at"] = _instant(entry.added_at)
    if entry.start == BEGINNING and entry.until == FOREVER:
        return data
    return data | _without_empty(_period(entry.start, entry.until))


def _add_exceptions(
    result: _Data, subject: Customer | Subscription, features: Mapping[str, Feature], *, every_id: bool
) -> None:
    if subject.overrides:
        counts: dict[str, int] = {}
        overrides: list[PlainData] = []
        for override in subject.overrides:
            counts[override.feature] = counts.get(override.feature, 0) + 1
            data = override_data(override, features)
            if not every_id and override.id == f"{override.feature}-{counts[override.feature]}":
                del data["id"]
            overrides.append(data)
        result["overrides"] = overrides
    if subject.suspensions:
        result["suspensions"] = [suspension_data(suspension) for suspension in subject.suspensions]


def override_data(override: Override, features: Mapping[str, Feature]) -> _Data:
    """Return an override with its id as plain data."""
    value = override.value
    return _without_empty(
        {
            "id": override.id,
            "feature": override.feature,
            "mode": _unless(override.mode, OverrideMode.REPLACE),
            "value": None if value is None else value_data(value, features[override.feature]),
            **_period(override.start, override.until),
            "author": override.author,
            "reason": override.reason,
        }
    )
