"""The pages about events: every one of them, and a signature that verifies."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks import Webhook

from tests.docs.pages import ROOT, examples
from tiergate.control.webhooks.delivery import signature_headers
from tiergate.store.outbox import TEST_EVENT, EventType

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = ROOT / "docs" / "reference" / "events.md"
HOW_TO = ROOT / "docs" / "how-to" / "webhooks.md"
TEXT = PAGE.read_text(encoding="utf-8")

TYPES = [*EventType, TEST_EVENT]


def vector() -> tuple[str, dict[str, str], bytes]:
    """The secret, the headers and the body of the page's example."""
    secret, lines, body = (example.text.strip() for example in examples(PAGE) if example.language == "text")
    return secret, dict(line.split(": ", 1) for line in lines.splitlines()), body.encode()


def test_the_page_lists_every_event() -> None:
    """Its table and its sections are the types that there are."""
    assert re.findall(r"^\| \[`([\w.]+)`\]\(", TEXT, re.MULTILINE) == TYPES
    assert re.findall(r"^## ([\w]+\.[\w]+)$", TEXT, re.MULTILINE) == TYPES


@pytest.mark.parametrize("type_", TYPES)
def test_every_event_has_an_example(type_: str) -> None:
    """In its section, with the members that all have."""
    section = TEXT.partition(f"\n## {type_}\n")[2].partition("\n## ")[0]
    shown = json.loads(section.partition("```json\n")[2].partition("```")[0])
    assert list(shown) == ["id", "type", "timestamp", "data"]
    assert shown["type"] == type_


def test_the_example_of_a_signature_is_what_we_send() -> None:
    """Whoever verifies it by hand has understood."""
    secret, headers, body = vector()
    sent = signature_headers(headers["webhook-id"], body, [secret], int(headers["webhook-timestamp"]) * 1000)
    assert sent == headers


def test_the_receiver_of_the_page_receives() -> None:
    """What the how-to shows verifies, tells repetitions apart, and finds the customer."""
    (code,) = (example.text for example in examples(HOW_TO) if example.language == "python")
    namespace: dict[str, Any] = {}
    exec(compile(code, str(HOW_TO), "exec"), namespace)
    receive: Callable[[bytes, dict[str, str], str], str | None] = namespace["receive"]
    secret, _, body = vector()
    headers = signature_headers("msg_1", body, [secret], time.time_ns() // 1_000_000)
    assert Webhook(secret).verify(body, headers)
    assert receive(body, headers, secret) == "acme"
    assert receive(body, headers, secret) is None
