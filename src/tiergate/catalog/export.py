"""Writes catalogs and subjects as their files: the inverse of the loaders, which read back equal values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.catalog.features import NEVER
from tiergate.catalog.files import API_VERSION
from tiergate.catalog.printer import Plain, to_json, to_json_line, to_yaml
from tiergate.model import (
    BEGINNING,
    FOREVER,
    Amount,
    AudienceType,
    Catalog,
    Combine,
    Extra,
    Feature,
    FeatureStatus,
    FeatureType,
    Given,
    Item,
    Level,
    Override,
    OverrideMode,
    Rollout,
    Unlimited,
    Value,
    format_instant,
    from_units,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Literal

    from tiergate.model import (
        Audience,
        CatalogIndex,
        Customer,
        Definition,
        HeldItem,
        Instant,
        SubjectRecord,
        Subscription,
        Suspension,
    )

__all__ = ["dump_catalog", "dump_subject_lines", "dump_subjects"]

_Data = dict[str, Plain]
_SHARE_DIGITS: Final = 2


def dump_catalog(catalog: Catalog, form: Literal["yaml", "json"] = "yaml") -> str:
    """The file that `load_catalog` reads back as an equal catalog."""
    data: _Data = {
        "apiVersion": API_VERSION,
        "features": [_feature(feature) for feature in catalog.features.values()],
        "items": [_item(item, catalog.features) for item in catalog.items.values()],
    }
    if catalog.ladders:
        data["ladders"] = [{"id": ladder.id, "plans": list(ladder.plans)} for ladder in catalog.ladders]
    return to_yaml(data) if form == "yaml" else to_json(data)


def dump_subjects(
    records: Iterable[SubjectRecord],
    index: CatalogIndex,
    form: Literal["yaml", "json"] = "yaml",
) -> str:
    """The file that `load_subjects` reads back as equal records; `index` is of the catalog that they refer to."""
    customers: list[Plain] = []
    subscriptions: list[Plain] = []
    for record in records:
        customers.append(_customer(record.customer, index.features))
        subscriptions += [_subscription(subscription, index.features) for subscription in record.subscriptions]
    data: _Data = {"apiVersion": API_VERSION, "customers": customers, "subscriptions": subscriptions}
    return to_yaml(data) if form == "yaml" else to_json(data)


def dump_subject_lines(records: Iterable[SubjectRecord], index: CatalogIndex) -> Iterator[str]:
    """The lines of the NDJSON file of these records, each with its line break."""
    yield to_json_line({"apiVersion": API_VERSION}) + "\n"
    for record in records:
        customer = _customer(record.customer, index.features)
        yield to_json_line({"type": "customer", **customer}) + "\n"
        for subscription in record.subscriptions:
            data = _subscription(subscription, index.features)
            yield to_json_line({"type": "subscription", **data}) + "\n"


def _feature(feature: Feature) -> _Data:
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
    if feature.combine is not Combine.SUM:
        data["combine"] = feature.combine.value
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
        data["suspensions"] = [_suspension(suspension) for suspension in feature.suspensions]
    return data


def _put_levels(data: _Data, feature: Feature) -> None:
    if feature.type is FeatureType.CUSTOM:
        data["levels"] = list(feature.labels)
    elif feature.numbers is not None:
        levels: list[Plain] = [from_units(units, feature.scale) for units in feature.numbers]
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


def _item(item: Item, features: dict[str, Feature]) -> _Data:
    data: _Data = {"id": item.id, "kind": item.kind.value}
    _put_texts(data, item.name, item.description)
    _put_lists(
        data,
        tags=item.tags,
        available_for=item.available_for,
        depends_on=item.depends_on,
        excludes=item.excludes,
    )
    if len(item.versions) == 1:
        data |= _definition(item.versions[0], features)
    else:
        data["versions"] = [_definition(definition, features) for definition in item.versions]
    if item.rollouts != (Rollout(item.versions[-1].version),):
        data["rollouts"] = [_rollout(rollout) for rollout in item.rollouts]
    return data


def _definition(definition: Definition, features: dict[str, Feature]) -> _Data:
    data: _Data = {"version": definition.version}
    data["entitlements"] = {id_: _value(value, features[id_].scale) for id_, value in definition.entitlements.items()}
    return data


def _value(value: Value, scale: int) -> Plain:
    match value:
        case Given(on):
            return on
        case Level(label):
            return label
        case Unlimited():
            return "unlimited"
        case Amount(units, None):
            return from_units(units, scale)
        case Amount(units, per):
            key = "value"
        case Extra(units, per):
            key = "add"
    data: _Data = {key: from_units(units, scale)}
    if per is not None:
        data["per"] = per.value
    return data


def _rollout(rollout: Rollout) -> _Data:
    data: _Data = {"version": rollout.version} | _period(rollout.start, FOREVER)
    if rollout.audience.type is not AudienceType.EVERYBODY:
        data["audience"] = _audience(rollout.audience)
    return data


def _audience(audience: Audience) -> Plain:
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


def _suspension(suspension: Suspension) -> _Data:
    data: _Data = {"feature": suspension.feature} if suspension.feature else {}
    data |= _period(suspension.start, suspension.until)
    return data | ({"reason": suspension.reason} if suspension.reason else {})


def _customer(customer: Customer, features: dict[str, Feature]) -> _Data:
    data: _Data = {"id": customer.id}
    _put_lists(data, tags=customer.tags)
    if customer.attributes:
        data["attributes"] = dict(customer.attributes)
    return data | _exceptions(customer, features)


def _subscription(subscription: Subscription, features: dict[str, Feature]) -> _Data:
    data: _Data = {"id": subscription.id, "customer": subscription.customer, "status": subscription.status.value}
    for key in ("start", "end", "trial_end", "grace_until", "resume_at"):
        instant: Instant | None = getattr(subscription, key)
        if instant is not None:
            data[key] = _instant(instant)
    # `items` first among the lists: it is what one looks for.
    data["items"] = [_held(held) for held in subscription.items]
    return data | _exceptions(subscription, features)


def _held(held: HeldItem) -> _Data:
    data: _Data = {"item": held.item, "quantity": held.quantity}
    if held.version is not None:
        data["version"] = held.version
    if held.added_at is not None:
        data["added_at"] = _instant(held.added_at)
    return data | _period(held.start, held.until)


def _exceptions(subject: Customer | Subscription, features: dict[str, Feature]) -> _Data:
    data: _Data = {}
    counts: dict[str, int] = {}
    overrides: list[Plain] = []
    for override in subject.overrides:
        counts[override.feature] = counts.get(override.feature, 0) + 1
        overrides.append(_override(override, features[override.feature], counts[override.feature]))
    if overrides:
        data["overrides"] = overrides
    if subject.suspensions:
        data["suspensions"] = [_suspension(suspension) for suspension in subject.suspensions]
    return data


def _override(override: Override, feature: Feature, count: int) -> _Data:
    data: _Data = {} if override.id == f"{feature.id}-{count}" else {"id": override.id}
    data["feature"] = feature.id
    if override.mode is not OverrideMode.REPLACE:
        data["mode"] = override.mode.value
    if override.value is not None:
        data["value"] = _value(override.value, feature.scale)
    data |= _period(override.start, override.until)
    return data | {key: text for key, text in (("author", override.author), ("reason", override.reason)) if text}
