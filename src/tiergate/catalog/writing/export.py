"""Write catalogs and subjects as files: the inverse of the loaders, which read back equal values.

The functions that end in `_data` return the plain data of one entry, as in a file and in a body of the API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.catalog.entries.features import NEVER, default_combine
from tiergate.catalog.reading.files import API_VERSION
from tiergate.catalog.writing.printer import PlainData, to_json, to_json_line, to_yaml
from tiergate.model import (
    BEGINNING,
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
    Override,
    OverrideMode,
    PlansPerSubscription,
    Rollout,
    Switch,
    Unlimited,
    Value,
    format_instant,
    from_units,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Literal

    from tiergate.model import (
        Audience,
        CatalogIndex,
        Customer,
        Definition,
        IndexedItem,
        Instant,
        SubjectRecord,
        Subscription,
        SubscriptionItem,
        Suspension,
        Term,
    )

_Data = dict[str, PlainData]
_SHARE_DIGITS: Final = 2


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
    data: _Data = {"id": feature.id}
    _put_texts(data, feature.name, feature.description)
    data["type"] = feature.type.value
    if feature.status is not FeatureStatus.ACTIVE:
        data["status"] = feature.status.value
    if feature.unit:
        data["unit"] = feature.unit
    if scale:
        data["scale"] = scale
    _put_levels(data, feature)
    if feature.combine is not default_combine(feature.type):
        data["combine"] = feature.combine.value
    if feature.across is not Combine.SUM:
        data["across"] = feature.across.value
    data |= _units({"min": feature.minimum, "max": feature.maximum}, scale)
    for key, units in (
        ("batch", {"minimum": feature.batch.minimum, "increment": feature.batch.increment}),
        ("caps", {"total": feature.caps.total, "per_user": feature.caps.per_user}),
    ):
        inner = _units(units, scale)
        if inner:
            data[key] = inner
    if feature.metered is not None:
        data["metered"] = {"reset": feature.metered.reset.value if feature.metered.reset else NEVER}
    _put_lists(data, tags=feature.tags, linked=feature.linked)
    if feature.suspensions:
        data["suspensions"] = [suspension_data(suspension) for suspension in feature.suspensions]
    return data


def _put_levels(data: _Data, feature: Feature) -> None:
    if feature.type is FeatureType.CUSTOM:
        data["levels"] = list(feature.labels)
    elif feature.numbers is not None:
        levels: list[PlainData] = [from_units(units, feature.scale) for units in feature.numbers]
        data["levels"] = [*levels, "unlimited"] if feature.unlimited_level else levels


def _units(units: dict[str, int | None], scale: int) -> _Data:
    return {key: from_units(value, scale) for key, value in units.items() if value is not None}


def _put_texts(data: _Data, name: str, description: str) -> None:
    if name:
        data["name"] = name
    if description:
        data["description"] = description


def _put_lists(data: _Data, **lists: tuple[str, ...]) -> None:
    for key, entries in lists.items():
        if entries:
            data[key] = list(entries)


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
    data: _Data = {"id": item.id, "kind": item.kind.value}
    _put_texts(data, item.name, item.description)
    if item.status is not ItemStatus.ACTIVE:
        data["status"] = item.status.value
    _put_lists(
        data,
        tags=item.tags,
        available_for=item.available_for,
        depends_on=item.depends_on,
        excludes=item.excludes,
    )
    if item.private_to:
        data["private_to"] = item.private_to
    if isinstance(item, Item) and item.metadata:
        data["metadata"] = dict(item.metadata)
    return data


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


def rollout_data(rollout: Rollout) -> _Data:
    """Return one rollout of an item as plain data."""
    data: _Data = {"version": rollout.version} | _period(rollout.start, FOREVER)
    if rollout.audience.type is not AudienceType.EVERYBODY:
        data["audience"] = audience_data(rollout.audience)
    return data


def audience_data(audience: Audience) -> PlainData:
    """Return the audience of a rollout as plain data."""
    match audience.type:
        case AudienceType.EVERYBODY | AudienceType.NEW:
            return audience.type.value
        case AudienceType.SHARE:
            return {"share": from_units(audience.share, _SHARE_DIGITS)}
        case AudienceType.TAG:
            return {"tag": audience.tag}


def _period(start: Instant, until: Instant) -> _Data:
    data: _Data = {}
    if start != BEGINNING:
        data["from"] = _instant(start)
    if until != FOREVER:
        data["until"] = _instant(until)
    return data


def _instant(instant: Instant) -> str:
    return format_instant(instant).replace(".000Z", "Z")


def suspension_data(suspension: Suspension) -> _Data:
    """Return a suspension as plain data."""
    data: _Data = {"feature": suspension.feature} if suspension.feature else {}
    data |= _period(suspension.start, suspension.until)
    return data | ({"reason": suspension.reason} if suspension.reason else {})


def customer_data(customer: Customer, features: Mapping[str, Feature], *, every_id: bool = False) -> _Data:
    """Return a customer as plain data; with `every_id`, default ids of overrides are included."""
    data: _Data = {"id": customer.id}
    if customer.name:
        data["name"] = customer.name
    _put_lists(data, tags=customer.tags)
    if customer.attributes:
        data["attributes"] = dict(customer.attributes)
    _put_outside(data, customer)
    return data | _exceptions(customer, features, every_id=every_id)


def subscription_data(subscription: Subscription, features: Mapping[str, Feature], *, every_id: bool = False) -> _Data:
    """Return a subscription as plain data; with `every_id`, default ids of overrides are included."""
    data: _Data = {"id": subscription.id, "customer": subscription.customer, "status": subscription.status.value}
    for key in ("start", "end", "trial_end", "grace_until", "resume_at"):
        instant: Instant | None = getattr(subscription, key)
        if instant is not None:
            data[key] = _instant(instant)
    if subscription.resumes_as is not None:
        data["resumes_as"] = subscription.resumes_as.value
    if subscription.term is not None:
        data["term"] = term_data(subscription.term)
    _put_outside(data, subscription)
    # `items` first among the lists: it is what one looks for.
    data["items"] = [subscription_item_data(held) for held in subscription.items]
    return data | _exceptions(subscription, features, every_id=every_id)


def _put_outside(data: _Data, subject: Customer | Subscription) -> None:
    """Add the fields for people and other systems."""
    if subject.metadata:
        data["metadata"] = dict(subject.metadata)
    if subject.external_ids:
        data["external_ids"] = dict(subject.external_ids)


def term_data(term: Term) -> _Data:
    """Return the term of a subscription as plain data."""
    every: PlainData = term.unit.value if term.count == 1 else {"every": term.count, "of": term.unit.value}
    return {"every": every, "anchor": _instant(term.anchor)}


def subscription_item_data(held: SubscriptionItem) -> _Data:
    """Return an item of a subscription as plain data."""
    data: _Data = {"item": held.item, "quantity": held.quantity}
    if held.version is not None:
        data["version"] = held.version
    if held.added_at is not None:
        data["added_at"] = _instant(held.added_at)
    return data | _period(held.start, held.until)


def _exceptions(subject: Customer | Subscription, features: Mapping[str, Feature], *, every_id: bool) -> _Data:
    data: _Data = {}
    counts: dict[str, int] = {}
    overrides: list[PlainData] = []
    for override in subject.overrides:
        counts[override.feature] = counts.get(override.feature, 0) + 1
        written = override_data(override, features)
        if not every_id and override.id == f"{override.feature}-{counts[override.feature]}":
            del written["id"]
        overrides.append(written)
    if overrides:
        data["overrides"] = overrides
    if subject.suspensions:
        data["suspensions"] = [suspension_data(suspension) for suspension in subject.suspensions]
    return data


def override_data(override: Override, features: Mapping[str, Feature]) -> _Data:
    """Return an override with its id as plain data."""
    data: _Data = {"id": override.id, "feature": override.feature}
    if override.mode is not OverrideMode.REPLACE:
        data["mode"] = override.mode.value
    if override.value is not None:
        data["value"] = value_data(override.value, features[override.feature])
    data |= _period(override.start, override.until)
    return data | {key: text for key, text in (("author", override.author), ("reason", override.reason)) if text}
