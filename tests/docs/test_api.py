"""The reference of the API and of the decision log: their examples are what is answered and logged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.docs.pages import ROOT, examples
from tests.serving import Service, customer, get, post
from tests.wire import Connection
from tiergate.sidecar.decisionlog import DecisionLog

if TYPE_CHECKING:
    from pathlib import Path

API = ROOT / "docs" / "reference" / "api.md"
LOG = ROOT / "docs" / "reference" / "decision-log.md"

_JSON = [example.text for example in examples(API) if example.language == "json"]


def shown(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """What was answered, with its revision as the page shows it."""
    if isinstance(value, dict):
        return {name: "sha256:…" if name == "revision" else shown(inner) for name, inner in value.items()}
    return [shown(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("asked", "answered"), list(zip(_JSON[::2], _JSON[1::2], strict=True)))
def test_an_example_of_the_api_is_answered_so(asked: str, answered: str) -> None:
    """Each question on the page has the answer below it."""
    question, expected = json.loads(asked), json.loads(answered)
    path = "/v1/checks" if "checks" in question else "/v1/check"
    with Service(customer("acme")).serve() as where, Connection(where.connect()) as connection:
        answer = connection.ask(post(path, question))

    assert (answer.status, shown(answer.json())) == (200, expected)


def test_a_list_of_entitlements_has_the_members_of_the_page() -> None:
    """Those and no others."""
    with Service(customer("acme")).serve() as where, Connection(where.connect()) as connection:
        listing = connection.ask(get("/v1/entitlements?subject=acme")).json()

    assert set(listing) | {"valid_until"} == {
        *("subject", "entitlements", "publication", "revision", "stale", "valid_until"),
    }


def test_the_example_of_the_log_is_logged_so(tmp_path: Path) -> None:
    """But for its id and duration, which are never the same."""
    (example,) = (json.loads(it.text) for it in examples(LOG) if it.language == "json")
    log = DecisionLog(str(tmp_path / "log"))
    log.start()
    headers = {
        "X-Request-ID": example["request_id"],
        "traceparent": example["traceparent"],
        "tracestate": example["tracestate"],
    }
    with Service(customer("acme"), log=log).serve() as where, Connection(where.connect()) as connection:
        connection.ask(post("/v1/check", example["request"], headers=headers))
    log.close()
    logged = json.loads((tmp_path / "log").read_text())

    assert list(logged) == list(example)
    assert {**shown(logged), "id": "", "duration_us": 0} == {**example, "id": "", "duration_us": 0}
