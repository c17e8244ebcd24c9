from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.serving import CATALOG, NOW, Service, customer, disabled, get, post
from tests.wire import Connection
from tiergate.model import (
    Amount,
    Customer,
    Override,
    OverrideMode,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
)
from tiergate.sidecar.api.app import routes
from tiergate.sidecar.api.openapi import description

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = description()


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """A connection to a sidecar that knows acme (gold)."""
    with Service(customer("acme")).serve() as where, Connection(where.connect()) as opened:
        yield opened


def check(schema: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    """See that a value is what a schema of the document says."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    Draft202012Validator(whole).validate(value)


def test_the_document_has_the_routes_and_no_others() -> None:
    """Each path with its methods."""
    served = {
        route.path.replace(":path}", "}"): {method.lower() for method in route.methods or () if method != "HEAD"}
        for route in routes(Service(ready=False).native)
    }

    assert {path: set(operations) for path, operations in DOCUMENT["paths"].items()} == served


def test_the_document_is_served(connection: Connection) -> None:
    """As JSON, at the usual place."""
    answer = connection.ask(get("/openapi.json"))

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == DOCUMENT


def test_every_reference_of_the_document_leads_somewhere() -> None:
    """To one of its own components."""

    def follow(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for inner in value.values():
                yield from follow(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from follow(inner)

    for reference in follow(DOCUMENT):
        place: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


@pytest.mark.parametrize("schema", DOCUMENT["components"]["schemas"])
def test_every_schema_of_the_document_is_one(schema: str) -> None:
    """OpenAPI 3.1 speaks JSON Schema 2020-12."""
    Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][schema])


WITH_EXAMPLES = [
    path
    for path, operations in DOCUMENT["paths"].items()
    for body in [operations.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})]
    if "examples" in body and "$ref" in body["schema"]
]


@pytest.mark.parametrize("path", WITH_EXAMPLES)
def test_the_examples_are_what_they_show(path: str) -> None:
    """By their own schemas."""
    content = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        check(content["schema"]["$ref"].rpartition("/")[2], example["value"])


@pytest.mark.parametrize(
    "body",
    [
        {"subject": "acme", "feature": "analytics"},
        {"subject": "acme", "feature": "movies", "amount": 1, "used": 12},
        {"subject": "acme", "feature": "api-limit", "value": 900},
        {"subject": "acme", "feature": "support", "level": "chat"},
        {"subject": "acme", "feature": "storage", "amount": 1.5},
        {"subject": "nobody", "feature": "support"},
    ],
)
def test_checks_and_decisions_are_as_the_document_says(connection: Connection, body: dict[str, Any]) -> None:
    """Of every type, allowed and denied."""
    check("Check", body)
    check("Decision", connection.ask(post("/v1/check", body)).json())


def test_lists_are_as_the_document_says(connection: Connection) -> None:
    """Of entitlements, and of results."""
    check("Entitlements", connection.ask(get("/v1/entitlements?subject=acme&user=u1")).json())
    check("Results", connection.ask(post("/v1/checks", {"checks": [{"subject": "acme", "feature": "x"}, 1]})).json())


@pytest.mark.parametrize(
    "body",
    [
        {"subject": "acme", "feature": "analytics"},
        {"subject": "bob", "feature": "analytics", "at": "2026-11-17T14:03:00+01:00"},
        {"subject": {"id": "bob", "user": "ann"}, "feature": "seats", "amount": 4, "user_used": 1},
        {"subject": {"id": "sub-bob", "type": "subscription"}, "feature": "movies", "amount": 1, "used": 12},
        {"subject": "acme", "feature": "api-limit", "value": 900},
        {"subject": "acme", "feature": "support", "level": "chat"},
        {"subject": "acme", "feature": "storage", "amount": 1.25},
        {"subject": "nobody", "feature": "support"},
    ],
)
def test_explanations_are_as_the_document_says(body: dict[str, Any]) -> None:
    """Of every type, with caps, overrides, suspensions, things to come and things that are over."""
    catalog = CATALOG.replace("items:", "  - {id: seats, type: quantity, caps: {per_user: 3}}\nitems:", 1)
    catalog = catalog.replace("movies: 30", "movies: 30, seats: 7")
    plan = (
        SubscriptionItem("silver", start=NOW - 5),
        SubscriptionItem("gold", until=NOW - 5),
        SubscriptionItem("nothing", 2),
    )
    held = Subscription("sub-bob", "bob", SubscriptionStatus.TRIALING, plan, trial_end=NOW + 10**9)
    overrides = (
        disabled("analytics", NOW, NOW + 7),
        Override("more", "movies", OverrideMode.AT_LEAST, Amount(99), until=NOW - 1, author="ann", reason="a gift"),
    )
    bob = SubjectRecord(Customer("bob", overrides=overrides, suspensions=(Suspension("support"),)), (held,))
    service = Service(customer("acme"), bob, catalog=catalog)
    with service.serve() as where, Connection(where.connect()) as connection:
        answer = connection.ask(post("/v1/explain", body))

    check("CheckAt", body)
    assert answer.status == 200
    check("Explanation", answer.json())


@pytest.mark.parametrize("subject", ["acme", "nobody"])
@pytest.mark.parametrize("feature", ["analytics", "movies", "api-limit", "support", "storage"])
def test_other_protocols_are_as_the_document_says(connection: Connection, subject: str, feature: str) -> None:
    """Flags and evaluations of every type, one and several; and what is found."""
    context = {"context": {"targetingKey": subject, "amount": "?"}}
    question = {
        "subject": {"type": "customer", "id": subject},
        "action": {"name": "access"},
        "resource": {"type": "feature", "id": feature},
    }
    check("FlagEvaluation", connection.ask(post(f"/ofrep/v1/evaluate/flags/{feature}", context)).json())
    check("BulkEvaluation", connection.ask(post("/ofrep/v1/evaluate/flags", context)).json())
    check("FlagFailure", connection.ask(post(f"/ofrep/v1/evaluate/flags/no-{feature}", context)).json())
    check("AccessDecision", connection.ask(post("/access/v1/evaluation", question)).json())
    several = {**question, "evaluations": [{}, {"resource": {}}]}
    check("AccessDecisions", connection.ask(post("/access/v1/evaluations", several)).json())
    check("FoundEntities", connection.ask(post("/access/v1/search/resource", question)).json())
    check("FoundEntities", connection.ask(post("/access/v1/search/subject", question)).json())
    check("FoundActions", connection.ask(post("/access/v1/search/action", question)).json())


def test_the_configurations_are_as_the_document_says(connection: Connection) -> None:
    """Of both protocols."""
    check("Configuration", connection.ask(get("/ofrep/v1/configuration")).json())
    check("AuthzenConfiguration", connection.ask(get("/.well-known/authzen-configuration")).json())


def test_problems_are_as_the_document_says(connection: Connection) -> None:
    """With and without the members of our own."""
    check("Problem", connection.ask(post("/v1/check", {"subject": "acme", "feature": "moves"})).json())
    check("Problem", connection.ask(get("/nothing")).json())
