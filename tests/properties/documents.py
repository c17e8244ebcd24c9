"""Random catalogs, subjects and checks as documents of the design's section 6: everything that sections 1 and 2 name.

What is drawn is always valid. Instants come from few values, so that things often begin and end at the same one;
numbers from few values too, so that limits are met exactly.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.reference.entitlement import versions

__all__ = ["INSTANTS", "Document", "catalogs", "number", "subjects", "worlds"]

Document = dict[str, Any]

INSTANTS = (
    "1970-01-01T00:00:00.000Z",
    "2026-01-01T00:00:00Z",
    "2026-02-01T00:00:00.001Z",
    "2026-02-01T00:00:00.002Z",
    "2026-03-01T12:30:00+02:00",
    "2026-04-01T00:00:00Z",
    "2026-07-01T00:00:00Z",
    "2027-01-01T00:00:00Z",
)
FEATURE_IDS = ("alpha", "Beta.2", "gamma_x", "d-4", "5e5")
ITEM_IDS = ("free", "gold", "A.basic", "extra-1", "setup_fee")
CUSTOMER_IDS = ("acme", "Globex.2", "9lives")
FEATURE_TAGS = ("reports", "beta")
CUSTOMER_TAGS = ("eu", "pilot")
LABELS = ("email", "phone", "unlimited", "+10", "true", "e-mail & “chat”", "50", "null")
UNITS = ("movies/month", "GB", "requests/min")


def mapping(required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A document with some keys always and others sometimes."""
    return st.fixed_dictionaries(required, optional=optional)


def rarely(strategy: st.SearchStrategy[Any], otherwise: Any, odds: int = 4) -> st.SearchStrategy[Any]:  # noqa: ANN401 - any value
    """One time in `odds` what `strategy` gives, else a fixed value."""
    return st.integers(1, odds).flatmap(lambda number: strategy if number == odds else st.just(otherwise))


def number(units: int, scale: int) -> int | Decimal:
    """An edge number of so many units, or near it: of as many digits as an edge allows."""
    step: int = 10 ** max(0, len(str(units)) - 15)
    whole: int = 10**scale
    units -= units % step
    if not units % whole:
        return units // whole
    return Decimal(units).scaleb(-scale).normalize()


def numbers(scale: int, least: int = 0, most: int | None = None) -> st.SearchStrategy[int | Decimal]:
    """Edge numbers, mostly small ones, between two bounds in units."""
    top = 60 * 10**scale if most is None else most
    coarse = st.integers(0, 12).map(lambda step: least + (top - least) * step // 12)
    units = st.one_of(coarse, st.integers(least, top))
    if most is None:
        units = st.one_of(units, units, units, units, st.just(10**15 - 1), st.just(10**15))
    return units.map(lambda it: number(it, scale))


instants = st.sampled_from(INSTANTS)


@st.composite
def periods(draw: st.DrawFn) -> Document:
    """`from` and `until`, one of them, or neither."""
    first, last = sorted(draw(st.lists(st.integers(0, len(INSTANTS) - 1), min_size=2, max_size=2, unique=True)))
    which = draw(st.sampled_from(["both", "from", "until", "neither"]))
    found = {}
    if which in {"both", "from"}:
        found["from"] = INSTANTS[first]
    if which in {"both", "until"}:
        found["until"] = INSTANTS[last]
    return found


suspension_periods = periods().map(lambda period: period | {"reason": "maintenance"})


@st.composite
def features(draw: st.DrawFn, id_: str) -> Document:
    """One feature."""
    type_ = draw(st.sampled_from(["switch", "quantity", "quantity", "range", "custom"]))
    found: Document = {"id": id_, "type": type_}
    found |= draw(
        mapping(
            {},
            name=st.just("A name"),
            status=st.sampled_from(["active"] * 6 + ["archived"] * 3 + ["draft"]),
            tags=st.lists(st.sampled_from(FEATURE_TAGS), unique=True),
            suspensions=rarely(st.lists(suspension_periods, max_size=2), [], odds=6),
        )
    )
    if type_ == "custom":
        return found | {"levels": draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=4, unique=True))}
    if type_ == "switch":
        return found
    scale = draw(st.sampled_from([0, 0, 0, 1, 3, 6]))
    if scale or draw(st.booleans()):
        found["scale"] = scale
    found |= draw(mapping({}, unit=st.sampled_from(UNITS), combine=st.sampled_from(["sum", "max", "max"])))
    return found | draw(ranges(scale) if type_ == "range" else quantities(scale))


@st.composite
def ranges(draw: st.DrawFn, scale: int) -> Document:
    """What a range has beside other numbers."""
    low, high = sorted(draw(st.lists(st.integers(0, 60 * 10**scale), min_size=2, max_size=2)))
    return {key: number(units, scale) for key, units in (("min", low), ("max", high)) if draw(st.booleans())}


@st.composite
def quantities(draw: st.DrawFn, scale: int) -> Document:
    """What a quantity has beside other numbers."""
    found: Document = {}
    positive = numbers(scale, least=1)
    if draw(st.integers(0, 3)) == 3:
        levels = sorted({*draw(st.lists(numbers(scale), min_size=1, max_size=4))})
        found["levels"] = [*levels, *(["unlimited"] if draw(st.booleans()) else [])]
    if draw(st.integers(0, 3)) == 3:
        step = numbers(scale, least=1, most=4 * 10**scale)
        found["batch"] = draw(
            st.one_of(mapping({"minimum": step}, increment=step), mapping({"increment": step}, minimum=step))
        )
    if draw(st.booleans()):
        found["metered"] = {"reset": draw(st.sampled_from(["hour", "day", "week", "month", "year", "never"]))}
    if draw(st.integers(0, 3)) == 3:
        caps = mapping({"per_user": positive})
        if "metered" in found:
            caps = st.one_of(caps, mapping({"total": positive}, per_user=positive))
        found["caps"] = draw(caps)
    return found


@st.composite
def entitlements(draw: st.DrawFn, feature: Document) -> Any:  # noqa: ANN401 - a document's value
    """What an item version gives for one feature."""
    type_ = feature["type"]
    if type_ == "switch":
        return draw(st.sampled_from([True, True, False]))
    if type_ == "custom":
        return draw(st.sampled_from(feature["levels"]))
    scale = feature.get("scale", 0)
    per = st.sampled_from(["unit", "subscription"])
    if draw(st.integers(0, 3)) == 3:
        return draw(mapping({"add": numbers(scale, most=20 * 10**scale)}, per=per))
    if "levels" in feature:
        value = draw(st.sampled_from(feature["levels"]))
    elif type_ == "range" and ("min" in feature or "max" in feature):
        low = int(Decimal(feature.get("min", 0)).scaleb(scale))
        high = int(Decimal(feature.get("max", 100)).scaleb(scale))
        value = draw(numbers(scale, low, high))
    else:
        value = draw(rarely(st.just("unlimited"), None)) or draw(numbers(scale))
    if value != "unlimited" and draw(st.integers(0, 2)) == 2:
        return draw(mapping({"value": st.just(value)}, per=per))
    return value


@st.composite
def items(draw: st.DrawFn, id_: str, listed: list[Document]) -> Document:
    """One item."""
    found: Document = {"id": id_, "kind": draw(st.sampled_from(["plan", "plan", "addon", "charge"]))}

    def definition() -> Document:
        return {it["id"]: draw(entitlements(it)) for it in listed if draw(st.integers(0, 4))}

    if draw(st.booleans()):
        found["entitlements"] = definition()
        found |= draw(mapping({}, version=st.integers(1, 9)))
    else:
        chosen = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True))
        found["versions"] = [{"version": it, "entitlements": definition()} for it in chosen]
    if draw(st.integers(0, 2)) == 2:
        listed_versions = st.sampled_from([it["version"] for it in versions(found)])
        found["rollouts"] = draw(st.lists(rollouts(listed_versions), max_size=4))
    return found


@st.composite
def rollouts(draw: st.DrawFn, listed: st.SearchStrategy[int]) -> Document:
    """One rollout."""
    found: Document = {"version": draw(listed)}
    if draw(st.booleans()):
        found["from"] = draw(instants)
    share = st.one_of(st.sampled_from([0, 25, 50, 75, 100, Decimal("33.33"), "50%", "99.99%"]), st.integers(0, 100))
    audiences: list[st.SearchStrategy[Any]] = [
        st.just("everybody"),
        share.map(lambda it: {"share": it}),
        st.sampled_from(CUSTOMER_TAGS).map(lambda it: {"tag": it}),
    ]
    if "from" in found:
        audiences.append(st.just("new"))
    found |= draw(mapping({}, audience=st.one_of(audiences)))
    return found


@st.composite
def catalogs(draw: st.DrawFn) -> Document:
    """A catalog."""
    count = draw(st.integers(1, len(FEATURE_IDS)))
    listed = [draw(features(id_)) for id_ in FEATURE_IDS[:count]]
    count = draw(st.integers(1, len(ITEM_IDS)))
    return {
        "apiVersion": "tiergate/v1",
        "features": listed,
        "items": [draw(items(id_, listed)) for id_ in ITEM_IDS[:count]],
    }


@st.composite
def overrides(draw: st.DrawFn, listed: list[Document]) -> list[Document]:
    """The overrides of one customer or subscription: all with ids, or none."""
    named = draw(st.booleans())
    found: list[Document] = []
    for place in range(draw(st.sampled_from([0, 0, 1, 2, 4]))):
        feature = draw(st.sampled_from(listed))
        mode = draw(st.sampled_from(["replace", "at_least", "disabled"]))
        override: Document = {"feature": feature["id"], "reason": "a note"}
        if mode != "replace" or draw(st.booleans()):
            override["mode"] = mode
        if mode != "disabled":
            override["value"] = draw(override_values(feature))
        override |= draw(periods())
        if named:
            override["id"] = draw(st.sampled_from(["Z", "a", "m"])) + f".{place}"
        found.append(override)
    return found


def override_values(feature: Document) -> st.SearchStrategy[Any]:
    """What an override may say of a feature: free of levels, minimum and maximum."""
    if feature["type"] == "switch":
        return st.booleans()
    if feature["type"] == "custom":
        return st.sampled_from(feature["levels"])
    scale = feature.get("scale", 0)
    return st.one_of(numbers(scale), numbers(scale, most=200 * 10**scale), st.just(0), st.just("unlimited"))


@st.composite
def suspensions(draw: st.DrawFn, listed: list[Document]) -> list[Document]:
    """The suspensions of one customer or subscription."""
    count = draw(st.sampled_from([0] * 8 + [1, 1, 2]))
    return [{"feature": draw(st.sampled_from(listed))["id"]} | draw(suspension_periods) for _ in range(count)]


@st.composite
def subscriptions(draw: st.DrawFn, id_: str, customer: str, catalog: Document) -> Document:
    """One subscription."""
    status = draw(st.sampled_from(["active"] * 12 + ["trialing", "past_due", "canceled", "paused", "expired"]))
    found: Document = {"id": id_, "customer": customer, "status": status}
    found |= draw(rarely(mapping({}, start=instants, resume_at=instants), {}, odds=2))
    later = [it for it in INSTANTS if it >= found.get("start", "")]
    needed = {"trialing": "trial_end", "canceled": "end"}.get(status)
    found |= {
        key: draw(st.sampled_from(later))
        for key in ("end", "trial_end", "grace_until")
        if key == needed or draw(st.integers(0, 2 if key == "grace_until" else 6)) == 2
    }
    found["items"] = []
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 2, 3]))):
        item = draw(st.sampled_from(catalog["items"]))
        held: Document = {"item": item["id"]}
        held |= draw(mapping({}, quantity=st.integers(1, 5), added_at=instants))
        held |= draw(rarely(periods(), {}))
        if draw(st.integers(0, 3)) == 3:
            held["version"] = draw(st.sampled_from([it["version"] for it in versions(item)]))
        if not any(normal(held) == normal(other) for other in found["items"]):
            found["items"].append(held)
    return found | with_notes(draw, catalog)


def normal(held: Document) -> Document:
    """A held item with its defaults, to tell doubles."""
    return {"quantity": 1} | held


def with_notes(draw: st.DrawFn, catalog: Document) -> Document:
    """The overrides and suspensions that a customer or subscription has, if any."""
    found = {"overrides": draw(overrides(catalog["features"])), "suspensions": draw(suspensions(catalog["features"]))}
    even_empty = draw(st.booleans())
    return {key: value for key, value in found.items() if value or even_empty}


@st.composite
def subjects(draw: st.DrawFn, catalog: Document) -> Document:
    """Customers and their subscriptions."""
    count = draw(st.integers(1, len(CUSTOMER_IDS)))
    customers: list[Document] = []
    listed: list[Document] = []
    for id_ in CUSTOMER_IDS[:count]:
        customer: Document = {"id": id_} | draw(
            mapping(
                {},
                tags=st.lists(st.sampled_from(CUSTOMER_TAGS), unique=True),
                attributes=mapping({}, region=st.sampled_from(["eu", "us"]), size=st.sampled_from(["7", 'ü"\\'])),
            )
        )
        customers.append(customer | with_notes(draw, catalog))
        for place in range(draw(st.sampled_from([0, 1, 1, 2, 3]))):
            listed.append(draw(subscriptions(f"sub_{len(listed)}.{place}", id_, catalog)))
    return {"apiVersion": "tiergate/v1", "customers": customers, "subscriptions": listed}


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Document, Document]:
    """A catalog and its subjects."""
    catalog = draw(catalogs())
    return catalog, draw(subjects(catalog))
