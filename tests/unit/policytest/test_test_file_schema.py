"""The JSON Schema of test files against the reader: neither may know what the other does not."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.unit.catalog.samples import PyYaml
from tests.unit.catalog.test_schemas import parts
from tests.unit.policytest.written import problems
from tiergate.catalog.writing.printer import to_json
from tiergate.errors import SuiteError
from tiergate.policytest.cedar_test_reader import CEDAR_KEYS
from tiergate.policytest.entitlement_tests import CHECK_TEST_KEYS, REQUEST_KEYS, ROW_KEYS, SUBJECT_KEYS
from tiergate.policytest.expectations import TEST_KEYS
from tiergate.policytest.role_tests import CALLER_KEYS, RESOURCE_KEYS, ROLE_ROW_KEYS, ROLE_TEST_KEYS
from tiergate.policytest.runner import Runner
from tiergate.policytest.subject_fixtures import USAGE_KEYS
from tiergate.policytest.suite_reader import KINDS
from tiergate.policytest.suites import SuiteKind
from tiergate.policytest.test_file_schema import suite_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[3]
SCHEMA: Final = suite_schema()
FILE: Final = Draft202012Validator(SCHEMA)

WHOLE: Final[dict[str, Any]] = {
    "apiVersion": "tiergate/v1",
    "suite": "All there is",
    "description": "Every key once.",
    "now": "2026-11-21T12:00:00Z",
    "features": [
        {"id": "reports", "type": "switch", "suspensions": [{"from": "2027-01-01"}]},
        {"id": "seats", "type": "quantity", "metered": {"reset": "month"}, "caps": {"per_user": 9}},
        {"id": "rate", "type": "range", "min": 1, "max": 9},
        {"id": "support", "type": "custom", "levels": ["email", "chat"]},
    ],
    "items": [
        {"id": "basic", "kind": "plan", "entitlements": {"reports": True, "seats": 5, "rate": 7, "support": "chat"}},
        {"id": "free", "kind": "plan", "entitlements": {}},
    ],
    "ladders": [{"id": "up", "plans": ["free", "basic"]}],
    "holders": {"ada": ["basic"], "bob": [{"item": "basic", "quantity": 2, "version": 1}]},
    "customers": [{"id": "cyd", "suspensions": [{"feature": "reports"}]}],
    "subscriptions": [{"id": "s1", "customer": "cyd", "status": "active", "items": [{"item": "free"}]}],
    "usage": {"ada": {"seats": 2}, "bob": {"seats": {"used": 1, "user_used": 1, "total_used": 3}}},
    "tests": [
        {
            "name": "everything",
            "description": "Every key of a test.",
            "skip": "it is only read",
            "now": "2026-12-01",
            "usage": {"ada": {"seats": 4}},
            "subjects": ["ada", {"id": "s1", "type": "subscription", "name": "cyd's", "user": "u1"}],
            "features": ["seats"],
            "requests": {
                "one": {"amount": 1, "used": 2, "user_used": 0, "now": "2026-12-02"},
                "rate": {"feature": "rate", "value": 7},
                "chat": {"feature": "support", "level": "chat"},
            },
            "expected": [
                {
                    "subject": "ada",
                    "feature": ["seats"],
                    "request": "one",
                    "allowed": True,
                    "value": 5,
                    "remaining": 3,
                    "sources": ["plan/basic@1"],
                    "policies": ["plan/basic@1/seats"],
                    "valid_until": "2027-01-01",
                    "errors": 0,
                },
                {"request": ["rate", "chat"], "reason": "granted", "valid_until": None},
                {"subject": "cyd's", "request": "one", "reason": "not_entitled"},
            ],
        }
    ],
}
"""A suite about entitlements with every key."""

ROLES: Final[dict[str, Any]] = {
    "apiVersion": "tiergate/v1",
    "suite": "Roles",
    "description": "Every key once.",
    "skip": "it is only read",
    "roles": "shipped",
    "callers": {"ann": {"id": "a", "roles": ["admin"], "kind": "key", "actions": ["view"], "customers": ["acme"]}},
    "resources": {"acme": {"type": "Customer", "id": "acme", "customer": "acme"}, "all": {"type": "Catalog"}},
    "tests": [
        {
            "name": "everything",
            "description": "Every key of a test.",
            "skip": "it is only read",
            "callers": "ann",
            "actions": ["view"],
            "resources": ["acme", "all"],
            "expected": [
                {
                    "caller": "ann",
                    "action": "view",
                    "resource": "acme",
                    "allowed": True,
                    "policies": ["admin"],
                    "errors": 0,
                }
            ],
        }
    ],
}
"""A suite about roles with every key."""


def is_read(folder: Path, document: dict[str, Any]) -> bool:
    """Say whether the reader takes a document."""
    path = folder / "drawn_test.yaml"
    path.write_text(to_json(document), encoding="utf-8")
    try:
        Runner().read_suites([path])
    except SuiteError:
        return False
    return True


def test_it_is_a_schema() -> None:
    """It holds to its dialect, every reference leads somewhere, every object is closed or a mapping of one thing."""
    Draft202012Validator.check_schema(SCHEMA)
    for part in parts(SCHEMA):
        reference = part.get("$ref")
        assert reference is None or reference.removeprefix("#/$defs/") in SCHEMA["$defs"]
        if part.get("type") == "object":
            assert "additionalProperties" in part


def test_every_key_is_described() -> None:
    """An editor has something to say about each."""
    for part in parts(SCHEMA):
        for key, inner in part["properties"].items() if part.get("additionalProperties") is False else ():
            target = inner.get("$ref", "").removeprefix("#/$defs/")
            assert "description" in inner or "description" in SCHEMA["$defs"].get(target, {}), key


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("checkSuite", KINDS[SuiteKind.ENTITLEMENTS]),
        ("checkTest", TEST_KEYS | CHECK_TEST_KEYS),
        ("request", REQUEST_KEYS),
        ("used", USAGE_KEYS),
        ("checkRow", ROW_KEYS | {"subject", "feature", "request"}),
        ("roleSuite", KINDS[SuiteKind.ROLES]),
        ("caller", CALLER_KEYS),
        ("resource", RESOURCE_KEYS),
        ("roleTest", TEST_KEYS | ROLE_TEST_KEYS),
        ("roleRow", ROLE_ROW_KEYS | {"caller", "action", "resource"}),
        ("cedarSuite", KINDS[SuiteKind.CEDAR]),
    ],
)
def test_the_keys_are_those_of_the_reader(name: str, keys: frozenset[str]) -> None:
    """Each knows all of them, and no others."""
    assert SCHEMA["$defs"][name]["properties"].keys() == keys


def test_the_keys_inside_others_are_those_of_the_reader() -> None:
    """A subject that is written out, and the files in Cedar's form."""
    assert SCHEMA["$defs"]["subject"]["anyOf"][1]["properties"].keys() == SUBJECT_KEYS
    assert SCHEMA["$defs"]["cedarSuite"]["properties"]["cedar"]["properties"].keys() == CEDAR_KEYS


@pytest.mark.parametrize("document", [WHOLE, ROLES], ids=["entitlements", "roles"])
def test_a_suite_with_every_key_is_taken_by_both(tmp_path: Path, document: dict[str, Any]) -> None:
    """Nothing that the reader knows is underlined."""
    assert is_read(tmp_path, document)
    FILE.validate(document)


@pytest.mark.parametrize(
    "file",
    sorted([*ROOT.glob("policies/*_test.yaml"), *ROOT.glob("examples/**/*_test.yaml")]),
    ids=lambda file: file.name,
)
def test_the_suites_of_this_repository_are_taken(file: Path) -> None:
    """An editor has nothing to say of them."""
    FILE.validate(yaml.load(file.read_text(encoding="utf-8"), Loader=PyYaml))


Path_ = tuple[str | int, ...]


def places(document: object, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every value in a document."""
    if isinstance(document, dict):
        for key, inner in document.items():
            yield (*path, key)
            yield from places(inner, (*path, key))
    elif isinstance(document, list):
        for index, inner in enumerate(document):
            yield (*path, index)
            yield from places(inner, (*path, index))


def changed(document: dict[str, Any], path: Path_, value: object) -> dict[str, Any]:
    """The document with another value at a place."""
    copied = deepcopy(document)
    inner: Any = copied
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return copied


OTHERS: Final = [True, 0, -1, 1.5, "", "x", "2026-01-01", [], ["x"], {}, {"x": 1}, [1], [{}]]


@settings(max_examples=3 * settings().max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_the_reader_takes_the_schema_takes(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is put wherever: the schema refuses nothing that can be read."""
    document = data.draw(st.sampled_from([WHOLE, ROLES]))
    path = data.draw(st.sampled_from(list(places(document))))
    other = changed(document, path, data.draw(st.sampled_from(OTHERS)))
    if is_read(tmp_path, other):
        FILE.validate(other)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_an_unknown_key_is_refused_by_both(tmp_path: Path, data: st.DataObject) -> None:
    """Wherever keys are fixed, neither passes one over that it does not know."""
    document = data.draw(st.sampled_from([WHOLE, ROLES]))
    free = {"holders", "usage", "requests", "callers", "resources", "entitlements"}
    mappings = [()] + [
        path
        for path in places(document)
        if isinstance(_at(document, path), dict) and path[-1] not in free and path[-2:-1] != ("usage",)
    ]
    path = data.draw(st.sampled_from(mappings))
    other = changed(document, (*path, "namee"), "x")
    text = json.dumps(other)
    assert not FILE.is_valid(other), path
    assert "unknown-key" in {problem.code for problem in problems(tmp_path, text)}, path


def _at(document: Any, path: Path_) -> Any:  # noqa: ANN401 - any JSON
    for step in path:
        document = document[step]
    return document


@pytest.mark.parametrize(
    "document",
    [
        {"apiVersion": "tiergate/v1"},
        {"apiVersion": "tiergate/v1", "tests": []},
        {"apiVersion": "tiergate/v1", "tests": [{"name": "a"}]},
        {"apiVersion": "tiergate/v1", "tests": [{"name": "a", "subjects": [" a"]}]},
        {"apiVersion": "tiergate/v1", "tests": [{"name": "a", "subjects": [], "expected": [{"reason": "because"}]}]},
        {"apiVersion": "tiergate/v1", "roles": "shipped", "tests": [{"name": "a", "callers": "x", "actions": "fly"}]},
        {"apiVersion": "tiergate/v1", "roles": "shipped", "now": "2026-01-01", "tests": [{"name": "a"}]},
        {"apiVersion": "tiergate/v1", "cedar": {"tests": "a.json"}},
    ],
)
def test_what_an_editor_should_underline_is_refused(document: dict[str, Any]) -> None:
    """Mistakes that need no other part of the file are seen by the schema already."""
    assert not FILE.is_valid(document)
