"""The description of the administration API. That real answers are as it says, `tests.admin` sees in every test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.admin import serving
from tests.contract import Contract
from tests.routes import all_routes
from tiergate.control.api.openapi import description
from tiergate.control.api.request import Response
from tiergate.control.api.route_schemas import SHAPES
from tiergate.control.api.router import Endpoint, Open
from tiergate.control.api.schemas import component_schemas
from tiergate.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.control.api.request import AdminRequest


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """An empty store."""
    found = Store.open(sqlite_url)
    yield found
    found.close()


@pytest.fixture
def endpoints(store: Store) -> list[Endpoint]:
    """Every route."""
    return all_routes(store)


def references(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Every reference of a document."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_route_says_what_it_takes_and_gives(endpoints: list[Endpoint]) -> None:
    """The table of shapes has the routes, and no others."""
    assert {f"{one.method} {one.path}" for one in endpoints} == SHAPES.keys()


def test_the_document_has_the_routes_and_no_others(store: Store, endpoints: list[Endpoint]) -> None:
    """It is served to whoever asks, and is whole."""
    with serving(store, endpoints) as admin:
        served = admin.client().get("/openapi.json").json()
    said = {f"{method.upper()} {path}" for path, operations in served["paths"].items() for method in operations}
    assert said == SHAPES.keys()
    assert served == description(endpoints)


def test_every_reference_leads_somewhere(endpoints: list[Endpoint]) -> None:
    """To one of its own components, and each component is used."""
    document = description(endpoints)
    found = set(references(document))
    for reference in found:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    assert {name for name in document["components"]["schemas"] if f"#/components/schemas/{name}" not in found} == set()


def schemas_in(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - any JSON
    """Every object in the components of a document that may be a schema, with its path."""
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            if key not in {"example", "enum", "const"}:
                yield from schemas_in(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from schemas_in(inner, f"{path}/{number}")


def test_schemas_have_a_form_that_generators_of_clients_understand(endpoints: list[Endpoint]) -> None:
    """Types without conditions and defaults; lists and maps say of what; enumerations have a type."""
    document = description(endpoints)
    for path, schema in schemas_in({"components": document["components"]["schemas"], "paths": document["paths"]}):
        if path.endswith("/properties"):
            continue
        where = f"{path}: {schema}"
        assert not schema.keys() & {"if", "then", "else", "not", "default", "propertyNames", "$defs"} or (
            path.endswith("/responses")
        ), where
        assert all(inner is not False for inner in schema.get("properties", {}).values()), where
        if schema.get("type") == "array":
            assert "items" in schema, where
        if schema.get("type") == "object":
            assert schema.keys() & {"properties", "additionalProperties"}, where
        if isinstance(schema.get("enum"), list):
            assert "type" in schema, where
        if isinstance(schema.get("type"), list):
            assert not {"array", "object"} & {*schema["type"]}, where


def test_no_schema_is_named_as_one_of_its_members(endpoints: list[Endpoint]) -> None:
    """A generator of Python takes both for one variable."""
    for name, schema in description(endpoints)["components"]["schemas"].items():
        assert re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() not in schema.get("properties", {}), name


def test_every_body_has_an_example_that_is_valid(endpoints: list[Endpoint]) -> None:
    """But the bytes that sidecars send."""
    document = description(endpoints)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                name = content["schema"]["$ref"].rpartition("/")[2]
                assert ("example" in content) is (name not in {"UsageRequest", "OutcomeBatch"}), f"{method} {path}"
                validator = Draft202012Validator(content["schema"] | {"components": document["components"]})
                if "example" in content:
                    assert [error.message for error in validator.iter_errors(content["example"])] == [], name


def test_an_edit_may_take_every_member_away(endpoints: list[Endpoint]) -> None:
    """The bodies of PATCH say that all members can be left out or null, to any depth, and no member is unknown."""
    schemas = description(endpoints)["components"]["schemas"]
    assert schemas["FeatureEdit"]["properties"].keys() == schemas["Feature"]["properties"].keys()
    for name in ("FeatureEdit", "ItemEdit", "DraftEdit", "CustomerEdit", "SubscriptionEdit", "HeldItemEdit"):
        assert "required" not in schemas[name]
        assert schemas[name]["additionalProperties"] is False
        for member in schemas[name]["properties"].values():
            assert {"type": "null"} in member["anyOf"]
    assert {"type": "null"} in schemas["MeteredEdit"]["properties"]["rollover"]["anyOf"]
    assert {"type": "null"} in schemas["EntitlementsEdit"]["additionalProperties"]["anyOf"]


def test_operations_are_told_apart(endpoints: list[Endpoint]) -> None:
    """By ids, and each says in a sentence what it does."""
    operations = [it for path in description(endpoints)["paths"].values() for it in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert [it["operationId"] for it in operations if not re.fullmatch(r"[A-Z].{5,}[.]", it["summary"])] == []
    assert [it for it in ids if not re.fullmatch(r"[a-z]+(_[a-z]+)*", it)] == []
    assert {"list_customers", "create_customer_override", "update_feature", "archive_item"} <= {*ids}


def test_an_operation_says_who_may_ask(endpoints: list[Endpoint]) -> None:
    """The action of the table of roles, or that anybody may."""
    for one in endpoints:
        operation = description([one])["paths"][one.path][one.method.lower()]
        if isinstance(one.action, Open):
            assert "security" in operation
        else:
            assert operation["x-tiergate-action"] == one.action.value


def test_the_parameters_of_an_operation_are_those_of_its_route() -> None:
    """In its path and query, and the headers that every write honours."""

    def handler(_request: AdminRequest) -> Response:
        """Do it."""
        return Response.empty()

    one = Endpoint("POST", "/v1/a/{b}/c", Open.AUTHENTICATED, handler, query=("d",), paged=True)
    document = description([one])
    operation = document["paths"]["/v1/a/{b}/c"]["post"]
    named = [
        document["components"]["parameters"][it["$ref"].rpartition("/")[2]] if "$ref" in it else it
        for it in operation["parameters"]
    ]
    assert [(it["in"], it["name"]) for it in named] == [
        ("path", "b"),
        ("query", "d"),
        ("query", "limit"),
        ("query", "cursor"),
        ("header", "Tiergate-Reason"),
        ("header", "Idempotency-Key"),
        ("header", "If-Match"),
    ]


@pytest.mark.parametrize("name", sorted(component_schemas()))
def test_every_schema_is_one(name: str) -> None:
    """OpenAPI 3.1 speaks JSON Schema 2020-12."""
    Draft202012Validator.check_schema(component_schemas()[name])


def test_an_answer_that_is_not_as_the_document_says_fails_a_test(store: Store) -> None:
    """So that the tests of the API hold it to its description."""

    def handler(_request: AdminRequest) -> Response:
        """Answer with something else."""
        return Response.json({"status": 5})

    handler.__module__ = "tiergate.made_up"
    one = Endpoint("GET", "/livez", Open.ANYBODY, handler)
    assert Contract([one]).document["paths"].keys() == {"/livez"}
    with serving(store, [one]) as admin, pytest.raises(AssertionError, match="not as the document says"):
        admin.client().get("/livez")
