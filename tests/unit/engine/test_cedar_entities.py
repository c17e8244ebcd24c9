from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.engine.small import ACME, NOW, SUB, bundle, check, engine, record, subscription
from tiergate.bundle import Bundle
from tiergate.engine.cedar_entities import (
    EntityFactory,
    lean_principal,
    principal_entities,
    principal_uid,
    user_parents,
)
from tiergate.errors import BundleError
from tiergate.model import Customer, Subject, SubjectType

REFS = ("addon/extra@1", "plan/gold@3")
CUSTOMER = Customer("acme", ("eu", "x-1"), {"region": 'a "quoted" \\ text\n', "ключ": "значение"})
ANN = Subject("acme", user="ann")


def listed(text: str) -> list[dict[str, Any]]:
    """Entities as data."""
    found: list[dict[str, Any]] = json.loads(f"[{text}]")
    return found


def rules_of(rules: str, feature: str = "movies", schema: str = "", entities: str = "") -> dict[str, dict[str, Any]]:
    """The entities of a check under rules, by type and id."""
    of = engine(compiled=bundle(rules=rules, schema=schema, entities=entities))
    found = of.slices.slice(of.index.features[feature], (), principal_uid(ACME), REFS, ()).rules
    data = of.factory.listed(of.index.features[feature], found, principal_entities(ACME, CUSTOMER, REFS), REFS)
    return {f"{it['uid']['type']}::{it['uid']['id']}": it for it in data}


def test_a_principal_is_the_customer_the_subscription_or_its_user() -> None:
    """By the type of the subject."""
    assert str(principal_uid(ACME)) == 'Customer::"acme"'
    assert str(principal_uid(SUB)) == 'Subscription::"sub"'
    assert str(principal_uid(ANN)) == 'User::"ann"'
    assert [str(uid) for uid in user_parents(ANN)] == ['Customer::"acme"']
    assert [str(uid) for uid in user_parents(Subject("sub", SubjectType.SUBSCRIPTION, "ann"))] == [
        'Subscription::"sub"'
    ]
    assert user_parents(ACME) == ()


def test_a_principal_has_its_customers_data_and_its_items() -> None:
    """Whatever the texts hold."""
    attrs = {"customer": "acme", "tags": ["eu", "x-1"]}
    parents = [{"type": "Item", "id": ref} for ref in REFS]
    assert listed(principal_entities(ACME, CUSTOMER, REFS)) == [
        {"uid": {"type": "Customer", "id": "acme"}, "attrs": attrs, "tags": CUSTOMER.attributes, "parents": parents}
    ]
    assert listed(principal_entities(SUB, CUSTOMER, ())) == [
        {"uid": {"type": "Subscription", "id": "sub"}, "attrs": attrs, "tags": CUSTOMER.attributes, "parents": []}
    ]


def test_a_user_is_in_its_customer() -> None:
    """With the same data, for rules to test."""
    customer, user = listed(principal_entities(ANN, CUSTOMER, REFS))
    assert customer["uid"] == {"type": "Customer", "id": "acme"}
    assert user["uid"] == {"type": "User", "id": "ann"}
    assert user["parents"] == [customer["uid"]]
    assert (user["attrs"], user["tags"]) == (customer["attrs"], customer["tags"])


@pytest.mark.parametrize("subject", [ACME, SUB, ANN])
def test_a_lean_principal_has_its_items_alone(subject: Subject) -> None:
    """What nothing but a rule can read is left out."""
    lean, full = listed(lean_principal(subject, REFS)), listed(principal_entities(subject, CUSTOMER, REFS))
    assert lean == [{"uid": it["uid"], "attrs": {}, "parents": it["parents"]} for it in full]


def test_without_rules_there_is_the_feature_and_its_tags() -> None:
    """And the versions held, in their items."""
    found = rules_of("", "analytics")
    assert found.keys() == {
        "Customer::acme",
        "Feature::analytics",
        "Tag::reports",
        "Item::addon/extra@1",
        "Item::plan/gold@3",
    }
    assert found["Feature::analytics"]["attrs"] == {"type": "switch", "unit": "", "scale": 0}
    assert found["Feature::analytics"]["parents"] == [{"type": "Tag", "id": "reports"}]
    assert found["Item::plan/gold@3"]["parents"] == [{"type": "Item", "id": "plan/gold"}]


def test_what_rules_name_is_there() -> None:
    """Other features with their tags, and items."""
    found = rules_of(
        '@id("a") forbid (principal in Item::"plan/gold", action, resource) when '
        '{ resource == Feature::"analytics" || resource in Tag::"reports" };'
    )
    assert found.keys() >= {"Item::plan/gold", "Feature::movies", "Feature::analytics", "Tag::reports"}
    assert found["Feature::analytics"]["parents"] == [{"type": "Tag", "id": "reports"}]


def test_items_have_their_tags_where_a_condition_can_read_them() -> None:
    """And only there, because they are large."""
    scoped = '@id("a") forbid (principal in Item::"plan/gold@3", action, resource)'
    assert rules_of(f"{scoped};")["Item::plan/gold@3"]["tags"] == {}
    reading = f'{scoped} when {{ Item::"plan/gold@3".hasTag("movies") }};'
    assert rules_of(reading)["Item::plan/gold@3"]["tags"]["movies"] == "50"
    assert rules_of(reading)["Item::addon/extra@1"]["tags"] == {}
    elsewhere = f'{scoped} when {{ principal in Item::"addon/extra@1" && principal.hasTag("region") }};'
    assert rules_of(elsewhere)["Item::addon/extra@1"]["tags"]["movies"] == "+10"


SCHEMA = "entity Deal { item: Item, about: Feature, note: { type: String, id: String } } tags Set<Tag>;"
DEALS = [
    {
        "uid": {"type": "Deal", "id": "d"},
        "attrs": {
            "item": {"type": "Item", "id": "addon/extra@1"},
            "about": {"__entity": {"type": "Feature", "id": "analytics"}},
            "note": {"type": "Item", "id": "plan/gold"},
        },
        "parents": [],
        "tags": {},
    }
]


def test_what_the_users_entities_name_is_there_too() -> None:
    """Though no policy names it; a record that only looks like a name does no harm."""
    rule = '@id("a") forbid (principal, action, resource) when { Deal::"d".item.hasTag("support") };'
    found = rules_of(rule, schema=SCHEMA, entities=json.dumps(DEALS))
    assert found["Item::addon/extra@1"]["tags"]["support"] == "email"
    assert found.keys() >= {"Deal::d", "Feature::analytics", "Tag::reports"}


def test_a_rule_reads_what_the_users_entities_name() -> None:
    """The decision rests on the item behind the attribute."""
    rule = (
        '@id("a") forbid (principal, action, resource) when { principal in Deal::"d".item && '
        'Deal::"d".item.hasTag("support") && Deal::"d".item.getTag("support") == "email" };'
    )
    compiled = bundle(rules=rule, schema=SCHEMA, entities=json.dumps(DEALS))
    assert engine(subscription("gold"), compiled=compiled).decide(check("movies"), NOW).reason == "granted"
    assert engine(subscription("gold", "extra"), compiled=compiled).decide(check("movies"), NOW).reason == "rule_denied"


def test_users_entities_are_left_out_without_rules() -> None:
    """Nothing could read them."""
    compiled = bundle(
        rules='@id("a") forbid (principal, action == Action::"use", resource);',
        schema=SCHEMA,
        entities=json.dumps(DEALS),
    )
    of = engine(compiled=compiled)
    data = of.factory.listed(of.index.features["movies"], (), principal_entities(ACME, CUSTOMER, ()), ())
    assert {it["uid"]["type"] for it in data} == {"Customer", "Feature"}


def test_a_schema_that_does_not_parse_refuses_the_bundle() -> None:
    """At once."""
    files = {path: bundle().content(path) for path in bundle().paths()} | {"schema.cedarschema": b"entity"}
    with pytest.raises(BundleError, match=r"schema\.cedarschema"):
        EntityFactory(Bundle.from_files(files))


def test_data_of_a_customer_is_for_rules_whatever_it_holds() -> None:
    """Quotes, backslashes and other alphabets arrive as they are."""
    rule = (
        '@id("a") forbid (principal, action, resource) when { principal.hasTag("region") && '
        'principal.getTag("region") == "a \\"quoted\\" \\\\ text\\n" && principal.tags.contains("x-1") };'
    )
    known = record(subscription("gold"), tags=CUSTOMER.tags, attributes=CUSTOMER.attributes)
    for subject in (ACME, SUB, ANN):
        decision = engine(of=known, compiled=bundle(rules=rule)).decide(check("movies", subject), NOW)
        assert decision.reason == "rule_denied"
