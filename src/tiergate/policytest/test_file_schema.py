"""The JSON Schema (draft 2020-12) of test files, for editors and other tools.

It is closed, and accepts all that the reader accepts; names, the catalog and contradictions are left to the reader. As
in the reader, the keys of a file decide its kind.
"""

from __future__ import annotations

from typing import Final

from tiergate.catalog import catalog_schema, subjects_schema
from tiergate.catalog.reading.fields import MAX_LINE
from tiergate.catalog.schemas.parts import (
    DIALECT,
    Schema,
    api_version,
    closed,
    ids,
    line,
    listing,
    number,
    prose,
    ref,
    shared,
    subject_id,
    whole,
    words,
)
from tiergate.model import Reason, Status, SubjectType
from tiergate.permissions import Action, CallerKind
from tiergate.policytest.expectations import MOST_ERRORS
from tiergate.policytest.role_tests import ResourceType
from tiergate.policytest.suite_reader import SHIPPED

_TAKEN: Final = "suspension"
_RENAMED: Final = "featureSuspension"
"""The suspension of a feature, beside that of a subject."""
_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MAX_LINE}


def suite_schema() -> Schema:
    """Return the schema of a test file."""
    return {
        "$schema": DIALECT,
        "$id": "urn:tiergate:v1:test",
        "title": "Tiergate tests",
        "description": "What subjects must get, or callers may do: a suite of tests. What no row says must be denied.",
        "if": {"required": ["cedar"]},
        "then": ref("cedarSuite"),
        "else": {"if": {"required": ["roles"]}, "then": ref("roleSuite"), "else": ref("checkSuite")},
        "$defs": {
            **shared(),
            "subjectId": subject_id(),
            **_of_other_files(),
            "name": line("A name."),
            "names": _one_or_more(ref("name"), "A name, or a list of names."),
            "path": _path("A path, relative to this file."),
            "paths": _one_or_more(ref("path"), "A path, or a list of paths, relative to this file."),
            "checkSuite": closed(
                _head()
                | {
                    "catalog": ref("paths", "The catalog: files or folders, relative to this file."),
                    "features": listing("#/$defs/feature", "In place of `catalog`: its features."),
                    "items": listing("#/$defs/item", "In place of `catalog`: its items."),
                    "ladders": listing("#/$defs/ladder", "In place of `catalog`: its ladders."),
                    "rules": ref("path", "A folder of rules, relative to this file."),
                    "now": _now(),
                    "subjects": ref("paths", "Subjects files or folders, relative to this file."),
                    "customers": listing("#/$defs/customer", "Customers, as in a subjects file."),
                    "subscriptions": listing("#/$defs/subscription", "Subscriptions, as in a subjects file."),
                    "holders": _mapping(
                        ref("holder"), "Customers by their ids, each with one active subscription to these items."
                    ),
                    "usage": ref("usage", "Metered usage that is known in every test."),
                    "status": _statuses("in every test"),
                    "tests": listing("#/$defs/checkTest", "The tests.") | {"minItems": 1},
                },
                ["apiVersion", "tests"],
            ),
            "checkTest": closed(
                _heading()
                | {
                    "now": _now(),
                    "usage": ref("usage", "Metered usage that is known in this test, before that of the suite."),
                    "status": _statuses("in this test, before that of the suite"),
                    "subjects": listing("#/$defs/subject", "Whom the checks are about."),
                    "features": ids("What the checks are about, each with each request that names no feature."),
                    "requests": _mapping(ref("request"), "What is asked, by name; left out: the least that can be."),
                    "expected": listing("#/$defs/checkRow", "What must come of the cases; of the others, a denial."),
                },
                ["name", "subjects"],
                "A matrix of subjects, features and requests.",
            ),
            "holder": {
                "type": "array",
                "description": "The items that it holds.",
                "items": {"anyOf": [ref("id"), ref("held")]},
            },
            "subject": _subject(),
            "request": closed(
                {
                    "feature": ref("id", "The feature; left out: each of the test's `features`."),
                    "now": _now(),
                    "amount": number("How much more of a quantity.", positive=True),
                    "used": number("How much of a quantity has been used."),
                    "user_used": number("How much the user has used."),
                    "value": number("Which value of a range."),
                    "level": line("Which level of a custom feature."),
                    "status": words(Status, "The reported status of the feature, before that of the test."),
                },
                description="What is asked of a feature.",
            ),
            "usage": _mapping(
                _mapping({"anyOf": [number("How much has been used."), ref("used")]}, "Usage by feature."),
                "Usage by subject, then by feature.",
            ),
            "used": closed(
                {
                    "used": number("How much the subject has used."),
                    "user_used": number("How much its user has used."),
                    "total_used": number("How much everybody together has used."),
                    "granted": number("How much grants add to the subject's allowance."),
                    "resets_at": ref("instant", "The end of the window in which usage is counted."),
                },
                description="What is known of the usage of a feature in the current window.",
            ),
            "checkRow": closed(
                _row(("subject", "feature", "request"))
                | {
                    "reason": words(Reason, "The reason; `granted` is the one of what is allowed."),
                    "value": {
                        "type": ["boolean", "number", "string", "null"],
                        "description": (
                            "What is held: `true` or `false`, a number, `unlimited`, a level, or `null` for none."
                        ),
                    },
                    "remaining": number("How much of a quantity is left."),
                    "overage": number("How much of a quantity is used above the limit; 0 for none."),
                    "sources": _unique(
                        _TEXT, "What gave the value, all of it: `plan/gold@3`, or `override/` and an override's id."
                    ),
                    "valid_until": {
                        "anyOf": [ref("instant"), {"type": "null"}],
                        "description": (
                            "The next instant at which the answer may change by itself; `null`: it never does."
                        ),
                    },
                },
                description="What must come of the cases that it speaks of.",
            ),
            "roleSuite": closed(
                _head()
                | {
                    "roles": {
                        "type": "string",
                        "minLength": 1,
                        "description": f"The table of roles: a path, relative to this file, or `{SHIPPED}`.",
                    },
                    "callers": _mapping(ref("caller"), "Who asks, by name."),
                    "resources": _mapping(ref("resource"), "What something is done to, by name."),
                    "tests": listing("#/$defs/roleTest", "The tests.") | {"minItems": 1},
                },
                ["apiVersion", "roles", "tests"],
            ),
            "caller": closed(
                {
                    "id": line("Its id; left out: its name."),
                    "roles": ids("The roles that it has."),
                    "kind": words(CallerKind, "What it is.", default=CallerKind.PERSON),
                    "actions": _unique(
                        ref("name"), "The actions, or groups of them, that it is narrowed to; left out: not narrowed."
                    ),
                    "customers": _unique(
                        ref("subjectId"), "The customers that it is narrowed to; left out: not narrowed."
                    ),
                },
                ["roles"],
                "Somebody who asks.",
            ),
            "resource": closed(
                {
                    "type": words(ResourceType, "What it is."),
                    "id": line("Its id; left out: of features and items, all of them as such."),
                    "customer": ref("subjectId", "Whose it is; left out: nobody's in particular."),
                },
                ["type"],
                "Something that something is done to.",
            ),
            "roleTest": closed(
                _heading()
                | {
                    "callers": ref("names", "Who asks."),
                    "actions": _one_or_more({"enum": [action.value for action in Action]}, "What is done."),
                    "resources": ref("names", "What it is done to, where the action can be."),
                    "expected": listing("#/$defs/roleRow", "What must come of the cases; of the others, a denial."),
                },
                ["name", "callers", "actions", "resources"],
                "A matrix of callers, actions and resources.",
            ),
            "roleRow": closed(
                _row(("caller", "action", "resource")), description="What must come of the cases that it speaks of."
            ),
            "cedarSuite": _cedar_suite(),
        },
    }


def _of_other_files() -> Schema:
    """Return the definitions of catalog and subjects files, which are valid here too."""
    catalog = _with_renamed(catalog_schema()["$defs"])
    catalog[_RENAMED] = catalog.pop(_TAKEN)
    definitions: Schema = catalog | subjects_schema()["$defs"]
    return definitions


def _with_renamed(schema: Schema) -> Schema:
    """Return the schema with its references to the suspension of a feature renamed."""
    result: Schema = {}
    for key, inner in schema.items():
        if key == "$ref" and inner == f"#/$defs/{_TAKEN}":
            result[key] = f"#/$defs/{_RENAMED}"
        elif isinstance(inner, dict):
            result[key] = _with_renamed(inner)
        elif isinstance(inner, list):
            result[key] = [_with_renamed(entry) if isinstance(entry, dict) else entry for entry in inner]
        else:
            result[key] = inner
    return result


def _path(description: str) -> Schema:
    return {"type": "string", "minLength": 1, "description": description}


def _one_or_more(one: Schema, description: str) -> Schema:
    many = {"type": "array", "items": one}
    return {"anyOf": [one, many], "description": description}


def _unique(inner: Schema, description: str) -> Schema:
    return {"type": "array", "items": inner, "uniqueItems": True, "description": description}


def _mapping(inner: Schema, description: str) -> Schema:
    return {"type": "object", "description": description, "additionalProperties": inner}


def _head() -> Schema:
    return {
        "apiVersion": api_version(),
        "suite": line("The suite's name; left out: the file's name without `_test.yaml`."),
        "description": prose("What the suite is about."),
        "skip": prose("Why no test of the suite is run; left out: they are."),
    }


def _heading() -> Schema:
    return {
        "name": line("The test's name, unique in its suite."),
        "description": prose("What the test is about."),
        "skip": prose("Why it is not run; left out: it is."),
    }


def _now() -> Schema:
    return ref("instant", "The instant at which everything is decided; the nearest of request, test and suite.")


def _statuses(where: str) -> Schema:
    words_ = words(Status, "Its status.")
    return _mapping(words_, f"The reported status of features {where}; left out: operational.")


def _subject() -> Schema:
    written = closed(
        {
            "name": line("Its name in this test; left out: the id."),
            "type": words(SubjectType, "Whose id it is.", default=SubjectType.CUSTOMER),
            "id": ref("subjectId", "The id."),
            "user": ref("subjectId", "The id of a user inside it."),
        },
        ["id"],
    )
    return {"anyOf": [ref("subjectId"), written], "description": "A customer's id, or more about a subject."}


def _row(axes: tuple[str, str, str]) -> Schema:
    described = {axis: ref("names", f"Of which {axis} it speaks; left out: of every one.") for axis in axes}
    return described | {
        "allowed": {"type": "boolean", "description": "Whether it is allowed."},
        "policies": _unique(_TEXT, "The policies that decide it, all of them."),
        "errors": whole(0, MOST_ERRORS, "How many policies err."),
    }


def _cedar_suite() -> Schema:
    cedar = closed(
        {
            "tests": ref("paths", "Tests as `cedar run-tests` takes them: JSON files, relative to this file."),
            "policies": ref("paths", "The policies that they are of, relative to this file."),
            "schema": ref("path", "The schema that all of it must fit, relative to this file."),
        },
        ["tests", "policies"],
        "Tests in the form of Cedar's own command line.",
    )
    return closed(_head() | {"cedar": cedar}, ["apiVersion", "cedar"])
