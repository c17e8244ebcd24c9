"""Export suites for Cedar's command line, so that `cedar run-tests` runs the same tests.

Each suite becomes a folder: all its policies, the schema, and the tests with the facts as context. What Cedar does not
decide, such as the granted value or an unknown subject, is left out. The reason of a denial that nothing forbids is a
test of a second policy set, as in Tiergate. The export has the expectations, not the results: a test that fails here
fails there. Suites in Cedar's form are left out.

INVARIANT (nothing lost in silence): the result has the number of cases of a suite that are not in its files.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tiergate.cedar import (
    Schema,
    Uid,
    authorize_request,
    builtin_schema,
    builtin_text,
    parse_policies,
    split_policies,
    with_id,
)
from tiergate.engine.explanation.explain import explain_evaluation
from tiergate.errors import CallerError
from tiergate.model import Reason
from tiergate.naming import rule_id
from tiergate.policytest.environments import EntitlementEnvironment, RoleEnvironment
from tiergate.policytest.selection import EVERYTHING
from tiergate.policytest.suites import EntitlementQuery, PermissionQuery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.bundle import Bundle
    from tiergate.engine import Evaluation
    from tiergate.model import Feature
    from tiergate.policytest.runner import LoadedSuites
    from tiergate.policytest.selection import Selection
    from tiergate.policytest.suites import Case, Expectation, Suite

_REASON_PREFIX: Final = "reason/"
_HEAD: Final = """# Entitlement tests in Cedar's own form

Written by `tiergate test --export-cedar`. Each suite has a folder with its policies, its schema and its tests. With the
[Cedar command line](https://docs.cedarpolicy.com/), in this folder:
"""
_UNFIT: Final = re.compile(r"[^a-z0-9]+")
_COMMAND: Final = """cedar run-tests \\
  --policies {folder}/{policies} \\
  --schema {folder}/schema.cedarschema \\
  --tests {folder}/{tests}"""


class _Entry(NamedTuple):
    """A case as a Cedar test, and, if its reason needs the second policy set, as a test of that."""

    test: dict[str, Any]
    reason: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CedarSuite:
    """A suite in Cedar's form: its files by name, and how many cases they contain and leave out."""

    name: str
    folder: str
    files: dict[str, str]
    tests: int
    reasons: int
    left_out: int


def export_cedar(loaded: LoadedSuites, folder: Path, selection: Selection = EVERYTHING) -> tuple[CedarSuite, ...]:
    """Write suites in Cedar's form, each into a new folder below `folder`, and a README.

    Raises:
        OSError: if the file system fails.
        BundleError: if the text of a policy cannot be read.
    """
    suites = tuple(cedar_suites(loaded, selection))
    for suite in suites:
        (folder / suite.folder).mkdir(parents=True, exist_ok=True)
        for name, content in suite.files.items():
            (folder / suite.folder / name).write_text(content, encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(_readme(suites), encoding="utf-8")
    return suites


def cedar_suites(loaded: LoadedSuites, selection: Selection = EVERYTHING) -> Iterator[CedarSuite]:
    """Yield the files of each suite with selected cases.

    Raises:
        BundleError: if the text of a policy cannot be read.
    """
    used_folders: set[str] = set()
    for suite in loaded.suites:
        environment = loaded.environment(suite)
        if not selection.takes_suite(suite) or not isinstance(environment, EntitlementEnvironment | RoleEnvironment):
            continue
        cases = [(test, case) for test in suite.tests for case in selection.cases(test)]
        if not cases:
            continue
        entries: list[_Entry] = []
        for test, case in cases:
            created = None if suite.skip or test.skip else _entry(environment, case)
            if created is not None:
                entries.append(_named(created, f"{test.name}: {case.name}"))
        yield _suite(suite, environment, entries, len(cases) - len(entries), _folder(suite.name, used_folders))


def _suite(
    suite: Suite,
    environment: EntitlementEnvironment | RoleEnvironment,
    entries: list[_Entry],
    left_out: int,
    folder: str,
) -> CedarSuite:
    reasons = [it.reason for it in entries if it.reason is not None]
    files = {"tests.json": _json([it.test for it in entries])}
    if isinstance(environment, EntitlementEnvironment):
        files["policies.cedar"] = _all_policies(environment.bundle)
        files["schema.cedarschema"] = environment.bundle.text("schema.cedarschema")
        if reasons:
            files["reasons.cedar"] = environment.bundle.text("policies/reasons.cedar")
            files["reasons.json"] = _json(reasons)
    else:
        files["policies.cedar"] = f"{environment.roles.text.rstrip()}\n\n{builtin_text('scopes')}"
        files["schema.cedarschema"] = builtin_schema("roles")
    return CedarSuite(suite.name, folder, files, len(entries), len(reasons), left_out)


def _entry(environment: EntitlementEnvironment | RoleEnvironment, case: Case) -> _Entry | None:
    match environment, case.query:
        case EntitlementEnvironment(), EntitlementQuery() as query:
            try:
                evaluation = environment.evaluate(query)
            except CallerError:
                return None
            return _check(environment, case.expected, evaluation)
        case RoleEnvironment(), PermissionQuery() as query:
            return _permission(case.expected, query)
        case _:
            return None


def _check(environment: EntitlementEnvironment, expected: Expectation, evaluation: Evaluation) -> _Entry | None:
    """Return a check in Cedar's form; `None` if Cedar does not decide it."""
    files = explain_evaluation(environment.engine, evaluation, export=True).export.files
    if not files:
        return None
    query = {"request": json.loads(files["request.json"]), "entities": json.loads(files["entities.json"])}
    deciding = _deciding(environment, expected, environment.index.features[evaluation.check.feature])
    errors, allowed = expected.errors or 0, expected.allowed
    if evaluation.decision.errors and not expected.allowed:
        # To Tiergate it is a denial whenever a policy cannot be evaluated; Cedar goes on without that policy.
        errors, allowed = len(evaluation.decision.errors), _is_allowed_by_cedar(evaluation, query, environment.bundle)
        deciding = ()
    forbidding = [entry for entry in deciding if not entry.startswith(_REASON_PREFIX)]
    reasons = [value for value in deciding if value.startswith(_REASON_PREFIX)]
    test = {**query, "decision": "allow" if allowed else "deny", "reason": forbidding, "num_errors": errors}
    return _Entry(test, {**query, "decision": "allow", "reason": reasons, "num_errors": 0} if reasons else None)


def _deciding(environment: EntitlementEnvironment, expected: Expectation, feature: Feature) -> tuple[str, ...]:
    """Return the policies that an expectation names, or the only one that gives its reason."""
    if expected.policies is not None:
        return expected.policies
    if expected.reason is None or expected.reason is Reason.GRANTED:
        return ()
    possible = [it for it in environment.engine.slices.by_id.values() if not it.rule]
    if feature.draws is None:
        possible = [it for it in possible if not it.id.startswith("guard/draws-")]
    telling = [it.id for it in possible if it.reason is expected.reason]
    return tuple(telling) if len(telling) == 1 else ()


def _is_allowed_by_cedar(evaluation: Evaluation, query: dict[str, Any], bundle: Bundle) -> bool:
    request = query["request"]
    return (
        evaluation.slice is not None
        and authorize_request(
            evaluation.slice.group,
            json.dumps(query["entities"]),
            Schema(bundle.text("schema.cedarschema")),
            request["principal"],
            request["action"],
            request["resource"],
            json.dumps(request["context"]),
        ).allowed
    )


def _permission(expected: Expectation, query: PermissionQuery) -> _Entry:
    request = {
        "principal": str(Uid("Caller", query.caller.id)),
        "action": f'Action::"{query.action}"',
        "resource": str(Uid(query.resource.type, query.resource.id)),
        "context": {},
    }
    entities = [*query.caller.entities(), query.resource.entity()]
    return _Entry(
        {
            "request": request,
            "entities": entities,
            "decision": "allow" if expected.allowed else "deny",
            "reason": list(expected.policies or ()),
            "num_errors": expected.errors or 0,
        }
    )


def _all_policies(bundle: Bundle) -> str:
    """Return every policy that may permit or forbid, user-defined rules with their full ids."""
    texts = [bundle.text("policies/guards.cedar"), bundle.text("policies/overrides.cedar")]
    texts += [bundle.text(path) for path in bundle.paths("policies/items/")]
    for path in bundle.paths("policies/rules/"):
        file = path.removeprefix("policies/rules/").removesuffix(".cedar")
        text = bundle.text(path)
        for policy, (_, piece) in zip(parse_policies(text), split_policies(text), strict=True):
            texts.append(with_id(piece, rule_id(file, policy.id)))
    return "\n\n".join(text.strip() for text in texts if text.strip()) + "\n"


def _named(entry: _Entry, name: str) -> _Entry:
    reason = None if entry.reason is None else {"name": f"{name}: reason", **entry.reason}
    return _Entry({"name": name, **entry.test}, reason)


def _folder(name: str, used_folders: set[str]) -> str:
    """Return a unique folder name for a suite: lower-case letters, digits and hyphens."""
    plain = _UNFIT.sub("-", name.lower()).strip("-")[:80] or "suite"
    result, count = plain, 1
    while result in used_folders:
        count += 1
        result = f"{plain}-{count}"
    used_folders.add(result)
    return result


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _readme(suites: tuple[CedarSuite, ...]) -> str:
    parts = [_HEAD]
    for suite in suites:
        counts = f"{suite.tests} tests" + (f", {suite.left_out} cases left out" if suite.left_out else "")
        parts.append(f"\n## {suite.name}: {counts}\n\n```sh\n")
        commands = [_COMMAND.format(folder=suite.folder, policies="policies.cedar", tests="tests.json")]
        if suite.reasons:
            commands.append(_COMMAND.format(folder=suite.folder, policies="reasons.cedar", tests="reasons.json"))
        parts.append("\n".join(commands) + "\n```\n")
    return "".join(parts)
