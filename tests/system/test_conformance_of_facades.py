"""OFREP and AuthZEN answer as the conformance suite says, each in its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx
import pytest

from tests.conformance_cases import FILES, cases, differences, exact
from tests.system.processes import sidecar
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json = dict[str, Any]

CHECKS: Final = cases("checks.json", "checks")
LISTS: Final = cases("checks.json", "lists")
UNKNOWN_FEATURE: Final = "urn:tiergate:problem:unknown-feature"
IGNORED: Final = "an amount of a switch"
"""What does not fit the feature, which these protocols ignore."""
NO_TYPE: Final = "a subject of no type"
"""A targeting key has no other type."""
DENIED_FOR_GOOD: Final = {
    *("feature_suspended", "feature_inactive", "subscription_inactive", "unknown_subject", "override_denied"),
    *("rule_denied", "evaluation_error", "stale_data"),
}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """What asks a sidecar with the suite's data."""
    with sidecar(*FILES) as process:
        url = str(process.event("listening")["api"])
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as opened:
            yield opened


def ask(client: httpx.Client, path: str, body: object) -> tuple[int, Any]:
    """The status and the JSON of an answer."""
    response = client.post(path, content=encode(body), headers={"Content-Type": "application/json"})
    return response.status_code, exact(response.content)


def subject_of(check: Mapping[str, Any]) -> Json:
    """The subject of a check as an object."""
    subject = check["subject"]
    return {"type": "customer", "id": subject} if isinstance(subject, str) else {"type": "customer", **subject}


def numbers_of(check: Mapping[str, Any]) -> Json:
    """What a check says beside its subject and feature."""
    return {name: value for name, value in check.items() if name not in {"subject", "feature"}}


# ── OFREP ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def context_of(check: Mapping[str, Any]) -> Json:
    """The context that says what a check says."""
    subject = subject_of(check)
    key = ("subscription:" if subject["type"] == "subscription" else "") + subject["id"]
    return {"targetingKey": key, **({"user": subject["user"]} if "user" in subject else {}), **numbers_of(check)}


def flag(client: httpx.Client, key: str, context: Json) -> tuple[int, Any]:
    """One flag."""
    return ask(client, f"/ofrep/v1/evaluate/flags/{quote(key)}", {"context": context})


def natural(answer: Mapping[str, Any]) -> object:
    """The value of a feature's own flag."""
    held, is_denied = answer["entitlement"], answer["reason"] in DENIED_FOR_GOOD
    match answer["type"]:
        case "switch":
            return answer["allowed"]
        case "custom":
            return "" if is_denied or held["value"] is None else held["value"]
        case _:
            return 0 if is_denied else 2**53 - 1 if held["unlimited"] else held["value"]


@pytest.mark.parametrize("case", [it for it in CHECKS if it["name"] != NO_TYPE], ids=lambda case: case["name"])
def test_flags_are_as_the_suite_says(client: httpx.Client, case: Json) -> None:
    """`<feature>:allowed` is the decision; the feature's own flag is the value of its least check."""
    check = case["check"]
    status, said = flag(client, f"{check['feature']}:allowed", context_of(check))
    if "problem" in case and case["name"] != IGNORED:
        is_unknown = case["problem"]["type"] == UNKNOWN_FEATURE
        codes = {"FLAG_NOT_FOUND"} if is_unknown else {"INVALID_CONTEXT", "TARGETING_KEY_MISSING"}
        assert status == case["problem"]["status"]
        assert said["errorCode"] in codes
        return
    answer = case.get("answer") or {"allowed": True, "reason": "granted", "type": "switch", "entitlement": {}}
    assert (status, said["value"]) == (200, answer["allowed"])
    assert differences({name: answer[name] for name in ("allowed", "reason")}, said["metadata"]) == []
    least = {name: it for name, it in check.items() if name in {"subject", "feature", "used", "user_used"}}
    status, own = flag(client, check["feature"], context_of(least))
    if answer["reason"] in DENIED_FOR_GOOD | {"granted"}:  # the least check of the others may be granted
        assert (status, own["value"]) == (200, natural(answer))


@pytest.mark.parametrize("case", LISTS, ids=lambda case: case["subject"])
def test_all_flags_are_as_the_suite_says(client: httpx.Client, case: Json) -> None:
    """Of every feature that the list has."""
    _, said = ask(client, "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": case["subject"]}})
    flags = {it["key"]: it for it in said["flags"]}
    for entry in case["entitlements"]:
        assert flags[f"{entry['feature']}:allowed"]["value"] == entry["allowed"]
        assert flags[entry["feature"]]["metadata"]["reason"] == entry["reason"]
        assert flags[entry["feature"]]["value"] == natural(entry)


# ── AuthZEN ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def question_of(check: Mapping[str, Any]) -> Json:
    """The evaluation that asks what a check asks."""
    subject = subject_of(check)
    if "user" in subject:
        subject = {"type": "user", "id": subject["user"], "properties": {subject["type"]: subject["id"]}}
    action = {"name": "access", "properties": numbers_of(check)}
    return {"subject": subject, "action": action, "resource": {"type": "feature", "id": check["feature"]}}


@pytest.mark.parametrize("case", CHECKS, ids=lambda case: case["name"])
def test_evaluations_are_as_the_suite_says(client: httpx.Client, case: Json) -> None:
    """The decision and its context, alone and among others; a feature that nobody knows is denied."""
    question = question_of(case["check"])
    status, said = ask(client, "/access/v1/evaluation", question)
    _, several = ask(client, "/access/v1/evaluations", {"evaluations": [question]})
    assert several["evaluations"][0]["decision"] == (said.get("decision", False))
    if "answer" in case:
        expected = {name: value for name, value in case["answer"].items() if name != "allowed"}
        assert (status, said["decision"]) == (200, case["answer"]["allowed"])
        assert differences(expected, said["context"]) == []
        assert several["evaluations"] == [said]
    elif case["name"] == IGNORED:
        assert (status, said["decision"]) == (200, True)
    elif case["problem"]["type"] == UNKNOWN_FEATURE or case["name"] == NO_TYPE:
        reason = "unknown_subject" if case["name"] == NO_TYPE else "unknown_resource"
        assert (status, said["decision"], said["context"]["reason"]) == (200, False, reason)
    else:
        assert status == case["problem"]["status"]


@pytest.mark.parametrize("case", LISTS, ids=lambda case: case["subject"])
def test_searches_are_as_the_suite_says(client: httpx.Client, case: Json) -> None:
    """What is allowed is found, and nothing else of the list."""
    body = {"subject": {"type": "customer", "id": case["subject"]}, "action": {"name": "access"}}
    _, said = ask(client, "/access/v1/search/resource", {**body, "resource": {"type": "feature"}})
    found = {it["id"] for it in said["results"]}
    listed = {it["feature"] for it in case["entitlements"]}
    assert found & listed == {it["feature"] for it in case["entitlements"] if it["allowed"]}
