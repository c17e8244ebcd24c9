"""Whom a change can touch: the features, items and instants that looking alone finds, and what it leaves out."""

from __future__ import annotations

from tiergate.bundle import Bundle
from tiergate.catalog import load_catalog_texts
from tiergate.compiler import compile_catalog
from tiergate.impact.preview.affected_scope import AffectedScope, find_affected_scope
from tiergate.model import Rules, parse_instant

NOW = parse_instant("2026-11-21T00:00:00Z")
LATER = parse_instant("2027-01-01T00:00:00Z")
CATALOG = """
apiVersion: tiergate/v1
features:
  - {id: movies, type: quantity, tags: [fun]}
  - {id: support, type: custom, levels: [email, phone]}
items:
  - {id: gold, kind: plan, entitlements: {movies: 50, support: phone}}
  - {id: silver, kind: plan, entitlements: {movies: 20}}
"""
FORBID = '@id("no") forbid (principal, action, resource == Feature::"support") when { %s };'


def bundle(text: str = CATALOG, *rules: str) -> Bundle:
    """A catalog's text and files of rules as a bundle."""
    files = {f"law{place}": rule for place, rule in enumerate(rules)}
    return Bundle.from_files(compile_catalog(load_catalog_texts({"c.yaml": text}).catalog, Rules(policies=files)))


def found(new: str, *rules: str) -> AffectedScope:
    """What putting another text in the place of the catalog touches."""
    return find_affected_scope(bundle(CATALOG, *rules), bundle(new, *rules), NOW)


def test_a_value_touches_the_feature_and_the_holders_of_the_item() -> None:
    """Nobody else, and nothing else that the item gives."""
    assert found(CATALOG.replace("movies: 50", "movies: 60")) == AffectedScope(
        frozenset({"movies"}), frozenset({"gold"}), by_cedar=False, instants=()
    )


def test_what_is_only_said_otherwise_touches_nothing() -> None:
    """Names, the levels that may be given, and a value written in its long form."""
    new = CATALOG.replace("movies: 50", "movies: {value: 50, per: unit}").replace("id: gold,", "id: gold, name: Gold,")
    assert found(new.replace("quantity,", "quantity, levels: [20, 50],")) == AffectedScope(
        frozenset(), frozenset(), by_cedar=False, instants=()
    )


def test_a_new_version_touches_what_it_changes_alone() -> None:
    """Versions that were in force before count no more once another is there for everybody."""
    versions = """versions: [
      {version: 1, entitlements: {movies: 5, support: email}}, {version: 2, entitlements: {movies: 50, support: phone}},
      {version: 3, entitlements: {movies: 60, support: phone}}]"""
    old = CATALOG.replace("entitlements: {movies: 50, support: phone}", versions + ", rollouts: [%s]")
    before, after = ("{version: 1}, {version: 2}", "{version: 1}, {version: 2}, {version: 3}")
    changed = find_affected_scope(bundle(old % before), bundle(old % after), NOW)
    assert changed[:2] == (frozenset({"movies"}), frozenset({"gold"}))


def test_what_is_to_come_is_told_with_its_instants() -> None:
    """Rollouts and suspensions of what is touched; what is past is not."""
    text = "suspensions: [{from: 2020-01-01T00:00:00Z, until: 2027-01-01T00:00:00Z, reason: repair}]"
    changed = found(CATALOG.replace("tags: [fun]", f"tags: [fun], {text}"))
    assert changed == AffectedScope(
        frozenset({"movies"}), frozenset({"gold", "silver"}), by_cedar=False, instants=(LATER,)
    )


def test_a_rule_touches_anybody_of_the_features_that_it_can_come_to() -> None:
    """A rule may permit who holds nothing."""
    changed = find_affected_scope(bundle(), bundle(CATALOG, FORBID % "true"), NOW)
    assert changed == AffectedScope(frozenset({"support"}), None, by_cedar=True, instants=())


def test_rules_that_are_only_called_otherwise_touch_nothing() -> None:
    """By another id, in another file, with a comment."""
    old, new = FORBID % "context.held", "// why\n" + (FORBID % "context.held").replace('"no"', '"never"')
    other = '@id("b") permit (principal is User, action, resource);'
    assert find_affected_scope(bundle(CATALOG, old, other), bundle(CATALOG, other, new), NOW).features == frozenset()


def test_a_tag_matters_where_rules_can_come_to_the_feature() -> None:
    """Without rules nothing reads it."""
    new = CATALOG.replace("tags: [fun]", "tags: [fun, new]")
    assert found(new).features == frozenset()
    by_tag = '@id("t") forbid (principal, action, resource in Tag::"fun");'
    assert found(new, by_tag) == AffectedScope(frozenset({"movies"}), None, by_cedar=True, instants=())


def test_a_rule_on_holders_of_an_item_touches_them_where_the_item_changes() -> None:
    """Also about features that the item does not give."""
    rule = '@id("g") permit (principal in Item::"plan/silver", action, resource == Feature::"support");'
    changed = found(CATALOG.replace("movies: 20", "movies: 25"), rule)
    assert changed == AffectedScope(frozenset({"movies", "support"}), frozenset({"silver"}), by_cedar=True, instants=())
