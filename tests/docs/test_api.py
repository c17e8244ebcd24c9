"""The reference of the API and of the decision log: their examples are what is answered and logged."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.docs.pages import ROOT, examples
from tests.serving import Service, customer, get, post
from tests.wire import Connection
from tiergate.engine.decision_inputs import DecisionBasis
from tiergate.model import parse_instant
from tiergate.sidecar.decision_log import DecisionLog
from tiergate.sidecar.state import FeedPosition

if TYPE_CHECKING:
    from pathlib import Path

API = ROOT / "docs" / "reference" / "api.md"
AUTHZEN = ROOT / "docs" / "reference" / "authzen.md"
OFREP = ROOT / "docs" / "reference" / "ofrep.md"
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
    explained = "sentences" in expected
    path = "/v1/checks" if "checks" in question else "/v1/explain" if explained else "/v1/check"
    with Service(customer("acme")).serve() as where, Connection(where.connect()) as connection:
        answer = connection.ask(post(path, question))

    found = shown(answer.json())
    if explained:  # the page shows some of its members
        found = {name: value for name, value in found.items() if name in expected}
    assert (answer.status, found) == (200, expected)


def test_the_example_of_ofrep_is_answered_so() -> None:
    """The context on the page gets the flag below it."""
    asked, answered = (json.loads(it.text) for it in examples(OFREP) if it.language == "json")
    with Service(customer("acme")).serve() as where, Connection(where.connect()) as connection:
        answer = connection.ask(post("/ofrep/v1/evaluate/flags/movies:allowed", asked))

    assert (answer.status, shown(answer.json())) == (200, answered)


def test_the_example_of_authzen_is_answered_so() -> None:
    """The question on the page gets the answer below it."""
    asked, answered = (json.loads(it.text) for it in examples(AUTHZEN) if it.language == "json")
    with Service(customer("acme")).serve() as where, Connection(where.connect()) as connection:
        answer = connection.ask(post("/access/v1/evaluation", asked))

    assert (answer.status, shown(answer.json())) == (200, answered)


def test_every_member_of_an_explanation_is_on_the_page() -> None:
    """In the table of its section."""
    section = API.read_text(encoding="utf-8").partition("## `POST /v1/explain`")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    with Service(customer("acme")).serve() as where, Connection(where.connect()) as connection:
        found = connection.ask(post("/v1/explain", {"subject": "acme", "feature": "movies"})).json()

    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(found)


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
    service = Service(customer("acme"), log=log)
    service.state.feed_position = FeedPosition(example["basis"]["store"], example["basis"]["position"])
    service.state.set_stale_at(parse_instant(example["basis"]["stale_at"]))
    with service.serve() as where, Connection(where.connect()) as connection:
        connection.ask(post("/v1/check", example["request"], headers=headers))
    log.close()
    logged = json.loads((tmp_path / "log").read_text())

    assert list(logged) == list(example)
    logged["basis"]["version"] = example["basis"]["version"]
    assert {**shown(logged), "id": "", "duration_us": 0} == {**example, "id": "", "duration_us": 0}


def test_every_member_of_a_basis_is_on_the_page() -> None:
    """In the table of its section."""
    section = LOG.read_text(encoding="utf-8").partition("## The basis")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(DecisionBasis.__struct_fields__)
