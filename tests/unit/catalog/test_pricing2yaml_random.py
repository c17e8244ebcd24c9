from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tiergate.catalog import dump_catalog, load_catalog
from tiergate.catalog.pricing2yaml import import_pricings
from tiergate.errors import ImportSourceError
from tiergate.naming import is_id

if TYPE_CHECKING:
    from tiergate.model import Catalog

KEYS = st.sampled_from(["a", "b", "c", "A b", "A-b", "24/7", "ä", "é", "-", "null", "x" * 120])
NUMBERS = st.one_of(
    st.integers(0, 10**15 - 1),
    st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=3).map(str),
    st.sampled_from([".inf", float("inf"), 0.5, 1e-3, "1e3", "0x10", 10**17]),
)
TEXTS = st.one_of(
    st.text(max_size=20), st.lists(st.text(max_size=5), max_size=3), st.none(), st.text("ab\n ", min_size=190)
)
VALUES = {"BOOLEAN": st.booleans(), "NUMERIC": NUMBERS, "TEXT": TEXTS}
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
Plain = dict[str, Any]


@st.composite
def declarations(draw: st.DrawFn, *, limits: bool, features: list[str]) -> Plain:
    """Features or usage limits, most of them right."""
    found: Plain = {}
    for key in draw(st.lists(KEYS, max_size=4, unique=True)):
        value_type = draw(st.sampled_from(["BOOLEAN", "NUMERIC", "TEXT"]))
        declared: Plain = {"valueType": value_type, "defaultValue": draw(VALUES[value_type])}
        if limits:
            declared["type"] = draw(st.sampled_from(["RENEWABLE", "NON_RENEWABLE", "TIME_DRIVEN", "RESPONSE_DRIVEN"]))
            declared["unit"] = draw(st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["x/day", "x/y/year"])))
            declared["linkedFeatures"] = draw(st.lists(st.sampled_from(features), max_size=2)) if features else None
        if draw(st.booleans()):
            declared["description"] = draw(st.one_of(st.none(), st.text(max_size=10)))
        found[key] = declared
    return found


@st.composite
def stated(draw: st.DrawFn, declared: Plain) -> Plain | None:
    """The values that an item states of what is declared, most of them of the right type."""
    keys = draw(st.lists(st.sampled_from(sorted(declared)), max_size=3, unique=True)) if declared else []
    return {key: {"value": draw(VALUES[declared[key]["valueType"]])} for key in keys} or None


@st.composite
def pricings(draw: st.DrawFn) -> Plain:
    """Pricings, most of which are right but for a thing or two."""
    features = draw(declarations(limits=False, features=[]))
    limits = draw(declarations(limits=True, features=sorted(features)))
    plans = draw(st.lists(KEYS, max_size=3, unique=True))
    add_ons = draw(st.lists(KEYS, min_size=0 if plans else 1, max_size=3, unique=True))
    pricing: Plain = {
        "saasName": draw(st.text(max_size=60)),
        "syntaxVersion": draw(st.sampled_from(["2.1", 2.1, "3.0", None])),
        "version": draw(st.text("ab1 -", max_size=40)),
        "features": features,
        "usageLimits": limits or None,
        "plans": {plan: {"features": draw(stated(features)), "usageLimits": draw(stated(limits))} for plan in plans},
        "addOns": {
            add_on: draw(add_on_bodies(features, limits, plans, add_ons[:at])) for at, add_on in enumerate(add_ons)
        },
    }
    if draw(st.integers(0, 3)) == 0:
        spoil(draw, pricing)
    return pricing


@st.composite
def add_on_bodies(draw: st.DrawFn, features: Plain, limits: Plain, plans: list[str], earlier: list[str]) -> Plain:
    """Add-ons that name earlier ones, so that most of them can be held."""
    numeric = {key: limit for key, limit in limits.items() if limit["valueType"] == "NUMERIC"}
    body: Plain = {"features": draw(stated(features))}
    body[draw(st.sampled_from(["usageLimits", "usageLimitsExtensions"]))] = draw(stated(numeric))
    if plans:
        body["availableFor"] = draw(st.lists(st.sampled_from(plans), max_size=2))
    if earlier:
        body[draw(st.sampled_from(["dependsOn", "excludes"]))] = [draw(st.sampled_from(earlier))]
    return body


def spoil(draw: st.DrawFn, pricing: Plain) -> None:
    """Put anything in place of something."""
    place: Plain = pricing
    for _ in range(draw(st.integers(0, 4))):
        inner = [part for part in place.values() if isinstance(part, dict) and part]
        if not inner:
            break
        place = draw(st.sampled_from(inner))
    key = draw(st.sampled_from(sorted(place)))
    if draw(st.booleans()):
        place[draw(st.sampled_from(["", "value", key + "x"]))] = place.pop(key)
    else:
        place[key] = draw(st.one_of(ANYTHING, NUMBERS, st.floats(), st.sampled_from(["1e400", "010", -1])))


def attempt(content: bytes, *, prefix: bool) -> Catalog | None:
    """Import a file of this content; nothing where it is refused, with problems that have places."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pricing.yml"
        path.write_bytes(content)
        try:
            return import_pricings([path], prefix=prefix)
        except ImportSourceError as error:
            refused = error
        assert refused.problems
        assert all(problem.file == str(path) for problem in refused.problems)
        assert list(refused.problems) == sorted(refused.problems)
        return None


@given(pricings(), st.booleans())
@settings(max_examples=3 * settings().max_examples)
def test_a_pricing_imports_or_is_refused(pricing: Plain, prefix: bool) -> None:
    """Whatever a pricing says, it becomes a catalog whose parts fit together, or is refused with problems."""
    text = yaml.safe_dump(pricing, allow_unicode=True, sort_keys=False)
    catalog = attempt(text.encode(), prefix=prefix)
    if catalog is None:
        return
    parts = {part: len(pricing.get(part) or ()) for part in ("features", "usageLimits", "plans", "addOns")}
    assert len(catalog.features) == parts["features"] + parts["usageLimits"]
    assert len(catalog.items) == parts["plans"] + parts["addOns"]
    for id_, feature in catalog.features.items():
        assert is_id(id_)
        assert set(feature.linked) <= set(catalog.features)
    for id_, item in catalog.items.items():
        assert is_id(id_)
        assert set(item.versions[0].entitlements) <= set(catalog.features)
        assert {*item.available_for, *item.depends_on, *item.excludes} <= set(catalog.items)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.yaml"
        path.write_text(dump_catalog(catalog), encoding="utf-8")
        assert load_catalog([path]).catalog == catalog


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_refused_or_import(content: bytes) -> None:
    """A file of anything is refused with problems, and nothing else happens."""
    attempt(content, prefix=False)


@given(ANYTHING)
def test_any_yaml_is_refused_or_imports(document: object) -> None:
    """YAML that is no pricing is refused with problems, and nothing else happens."""
    attempt(yaml.safe_dump(document).encode(), prefix=False)
