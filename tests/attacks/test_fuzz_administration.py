"""Whatever is sent to the administration API, the answer is one that its description names, and never a 500."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.control_planes import ControlPlane, control_plane

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

# What the paths name; the rest is what nobody has.
NAMED: Final = {
    "feature": "movies",
    "item": "gold",
    "customer": "acme",
    "subscription": "s1",
    "override": "o1",
    "version": "1",
    "sequence": "1",
    "kind": "policies",
    "name": "eu",
}
NAMED_BY_PATH: Final = {"/v1/features/{id}": "movies", "/v1/items/{id}": "gold"}

CATALOG: Final = {
    "apiVersion": "tiergate/v1",
    "features": [{"id": "movies", "type": "quantity", "tags": ["self-service"]}, {"id": "support", "type": "switch"}],
    "items": [{"id": "gold", "kind": "plan", "entitlements": {"movies": 50}}],
}
OVERRIDE: Final = {"id": "o1", "feature": "movies", "value": 5, "reason": "a promise"}

DEEP: Final = "[" * 20_000 + "]" * 20_000
DIGITS: Final = "9" * 5_000
ODD: Final = [
    *("", "null", "true", "[]", "{}", "{", '""', "0", "-0.0", "NaN", "1e999999", DIGITS, "[{}]", '"\\ud800"'),
    *("\ufeff{}", '{"":0}', '{"\\u0000":1}', '{"id":"a","id":"b"}', '"\U0001f600"', DEEP),
]
KEYS: Final = [
    *("id", "name", "text", "type", "kind", "status", "tags", "levels", "scale", "min", "caps", "metered", "version"),
    *("catalog", "features", "items", "entitlements", "rules", "rollout", "rollouts", "audience", "from", "until"),
    *("item", "quantity", "added_at", "feature", "value", "overrides", "suspensions", "attributes", "trial_end", "end"),
    *("as_of", "to", "at", "from_item", "addons", "resumes_as", "term", "metadata", "external_ids", "customer"),
    *("roles", "customers", "expires_at", "url", "events", "overlap", "note", "author", "reason", "dry_run"),
]
VALUES: Final = ["null", "[null]", '{"a":1}', '"\\ud800"', '"9999-12-31T23:59:59-23:59"', f"-{DIGITS}", "1e400"]
PARAMETERS: Final = ["", "%00", "%ff", "%F0%9F%98%80", DIGITS, "-1", "0", "true", "9999-12-31T23:59:59-23:59", "%27--"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def store_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a fresh store; on PostgreSQL only with the slow tests."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def plane(tmp_path: Path, store_url: str) -> Iterator[ControlPlane]:
    """A control plane that has one of each kind."""
    with control_plane(tmp_path, store_url) as running:
        admin = running.client("admin")
        done(admin.post("/v1/apply", json={"catalog": CATALOG}))
        done(admin.post("/v1/customers", json={"id": "acme", "overrides": [OVERRIDE]}))
        body = {"id": "s1", "status": "active", "items": [{"item": "gold"}]}
        body["overrides"] = [OVERRIDE | {"feature": "support", "value": True}]
        done(admin.post("/v1/customers/acme/subscriptions", json=body))
        yield running


def done(answer: httpx.Response) -> None:
    """See that something was made."""
    assert answer.status_code == 201, answer.text


def operations(client: httpx.Client) -> Iterator[tuple[str, str, list[str], str | None]]:
    """Method, path with the names of what there is, parameters, and the media type of the body, of every operation."""
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        known = next((id_ for prefix, id_ in NAMED_BY_PATH.items() if path.startswith(prefix)), "nobody")
        where = re.sub(r"\{(\w+)\}", lambda found: NAMED.get(found[1], known), path)  # noqa: B023 - called at once
        for method, said in methods.items():
            if method in {"get", "post", "put", "patch", "delete"}:
                parameters = [it["name"] for it in said.get("parameters", []) if it.get("in") == "query"]
                media = next(iter(said.get("requestBody", {}).get("content", {})), None)
                yield method.upper(), where, parameters, media


def proper(answer: httpx.Response) -> None:
    """See that an answer is a success, or a problem that is the caller's."""
    request = answer.request
    said = f"{request.method} {request.url!s:.200} {request.content[:200]!r}: {answer.status_code} {answer.text[:300]}"
    assert answer.status_code < 500, said
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", said
        assert answer.json()["status"] == answer.status_code, said


def test_no_body_is_a_500(plane: ControlPlane) -> None:
    """On no route that takes one: odd wholes, and odd values under every key that some body has."""
    admin = plane.client("admin")
    deep = [f'{{"{key}":{DEEP}}}' for key in ("catalog", "features")]
    odd = [f'{{"{key}":{value}}}' for value in VALUES for key in KEYS]
    for place, (method, path, _, media) in enumerate(list(operations(admin))):
        if media is None:
            continue
        # In turns: every route gets some of each, and every one is had by some routes.
        for body in (*deep, *ODD[place % 6 :: 6], *odd[place % 58 :: 58]):
            headers = {"content-type": media}
            proper(admin.request(method, path, content=body.encode("utf-8", "surrogatepass"), headers=headers))


def test_no_parameter_is_a_500(plane: ControlPlane) -> None:
    """On no route that takes any."""
    admin = plane.client("admin")
    for place, (method, path, parameters, _) in enumerate(list(operations(admin))):
        if method != "GET" or path.startswith("/v1/sync"):  # which may wait
            continue
        for parameter in parameters:
            for value in PARAMETERS[place % 4 :: 4]:
                proper(admin.get(f"{path}?{parameter}={value}"))


@pytest.mark.slow
def test_the_administration_api_is_what_its_openapi_document_says(tmp_path: Path) -> None:
    """To Schemathesis, which makes requests of the document, right ones and wrong ones, and reads the answers by it."""
    with control_plane(tmp_path) as plane:
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{plane.url}/openapi.json", "--no-color"),
            *("--header", f"Authorization: Bearer {plane.key_file('admin').read_text()}"),
            # Sidecars' requests wait; a body of lines is nothing that it can write.
            *("--exclude-path-regex", "^/v1/(sync|import)/", "--phases", "fuzzing", "--max-examples", "1"),
            *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
            *("--checks", "response_schema_conformance", "--seed", "1"),
        ]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stdout
