"""Read tests in the form of Cedar's command line, `cedar run-tests`, as test cases.

Each entry of the JSON list is a test with one case: its principal, action and resource. Paths are relative to the
suite. As in Cedar, `reason` lists policies that must be among the deciding ones, by their `@id` or their position
(`policy0`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.catalog import Fields
from tiergate.catalog.reading.document import BROKEN, describe, shorten
from tiergate.catalog.reading.fields import read_line, read_list
from tiergate.catalog.reading.files import parse_document, read_text
from tiergate.cedar import PolicyGroup, PolicySyntaxError, Schema, parse_policies, validate
from tiergate.policytest.environments import CedarEnvironment
from tiergate.policytest.expectations import MOST_ERRORS
from tiergate.policytest.suites import Case, CedarQuery, Expectation, Test

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiergate.catalog import ProblemLog, TextReport
    from tiergate.catalog.reading.document import Node

CEDAR_KEYS: Final = frozenset({"tests", "policies", "schema"})
"""The keys of `cedar` in a suite."""

_TEST_KEYS: Final = frozenset({"name", "request", "entities", "decision", "reason", "num_errors"})
_REQUIRED: Final = ("request", "entities", "decision", "reason", "num_errors")
_REQUEST_KEYS: Final = frozenset({"principal", "action", "resource", "context"})
_MOST_TEXT: Final = 10_000


class CedarFiles(NamedTuple):
    """The files of a suite in Cedar's form."""

    tests: Sequence[Path]
    policies: Sequence[Path]
    schema: Path | None


def read_cedar_environment(key: str, files: CedarFiles, log: ProblemLog) -> CedarEnvironment | None:
    """Parse the policies and the schema, and validate the policies; return `None` after any problem."""
    before = log.count
    schema = _schema(files.schema, log)
    named: dict[str, str] = {}
    policies = []
    count = 0
    for path in files.policies:
        text = read_text(path, log)
        if text is None:
            continue
        try:
            parsed = parse_policies(text)
        except PolicySyntaxError as error:
            log.add((str(path), 0, 0), "bad-policy", str(error))
            continue
        for policy in parsed:
            name = policy.id or f"policy{count}"
            if name in named:
                log.add((str(path), 0, 0), "duplicate-id", f"the policy `{shorten(name)}` stands in {named[name]} too")
                continue
            count += 1
            named[name] = str(path)
            policies.append((name, policy))
        for finding in validate(text, schema) if schema is not None else ():
            log.add((str(path), 0, 0), "invalid-policy", finding.message)
    if log.count > before:
        return None
    return CedarEnvironment(key, PolicyGroup.of(policies), schema)


def read_cedar_tests(paths: Sequence[Path], log: ProblemLog) -> tuple[Test, ...]:
    """Read the tests in JSON files."""
    result: list[Test] = []
    names: dict[str, str] = {}
    for path in paths:
        text = read_text(path, log)
        document = None if text is None else parse_document(f"{path}", text, log)
        if text is None or document is None:
            continue
        root, place, report = document
        plain = json.loads(text) if path.suffix.lower() == ".json" and report.count == 0 else None
        if plain is None:
            if report.count == 0:
                report.add(place, "unknown-kind", "tests in Cedar's form are JSON: the name must end in `.json`")
            continue
        for number, (node, at) in enumerate(read_list(root, place, report)):
            test = _test(node, at, plain[number], number, report)
            if test is None:
                continue
            if test.name in names:
                report.add(
                    at, "duplicate-name", f"the test `{shorten(test.name)}` exists already, in {names[test.name]}"
                )
            names.setdefault(test.name, f"{path}, line {test.place[1]}")
            result.append(test)
    return tuple(result)


def _schema(path: Path | None, log: ProblemLog) -> Schema | None:
    text = None if path is None else read_text(path, log)
    if text is None:
        return None
    try:
        return Schema(text)
    except PolicySyntaxError as error:
        log.add((str(path), 0, 0), "bad-schema", str(error))
        return None


def _test(node: Node, place: int, plain: object, number: int, report: TextReport) -> Test | None:
    before = report.count
    fields = Fields.of(node, place, report, _TEST_KEYS, _REQUIRED)
    if fields is None or not isinstance(plain, dict):
        return None
    name = fields.line("name") if "name" in fields else f"test {number + 1}"
    decision = fields.entries.get("decision", BROKEN)
    if decision not in ("allow", "deny") and decision is not BROKEN:
        fields.problem("decision", "unknown-word", f"must be `allow` or `deny`, not {describe(decision)}")
    reason = tuple(
        found for inner, at in fields.entries_of("reason") if (found := read_line(inner, at, report, _MOST_TEXT))
    )
    errors = fields.integer("num_errors", 0, MOST_ERRORS)
    fields.entries_of("entities")
    request = _request(fields, plain, report)
    if report.count > before or request is None:
        return None
    expected = Expectation(decision == "allow", policies=reason, errors=errors)
    position = report.position(place)
    case = Case(request.principal, request.action, request.resource, request, expected, position, stated=True)
    return Test(name, position, (case,))


def _request(test: Fields, plain: dict[str, object], report: TextReport) -> CedarQuery | None:
    if "request" not in test:
        return None
    request = Fields.of(
        test.entries["request"], test.at("request"), report, _REQUEST_KEYS, ("principal", "action", "resource")
    )
    written = plain["request"]
    if request is None or not isinstance(written, dict):
        return None
    request.mapping("context")
    principal, action, resource = [
        (read_line(request.entries[key], request.at(key), report, _MOST_TEXT) or "") if key in request else ""
        for key in ("principal", "action", "resource")
    ]
    context, entities = json.dumps(written.get("context", {})), json.dumps(plain.get("entities", []))
    return CedarQuery(principal, action, resource, context, entities)
