"""The reference of callers: the file of issuers, key by key."""

from __future__ import annotations

import re

import msgspec

from tests.docs.pages import ROOT, examples
from tiergate.control.auth.authentication import ALGORITHMS, IssuerSettings, read_issuers
from tiergate.store.audit import AuditEntry
from tiergate.store.keys import ApiKey

PAGE = ROOT / "docs" / "reference" / "callers.md"
LOG = ROOT / "docs" / "reference" / "audit-log.md"


def words(text: str) -> list[str]:
    """The words in the first cells of the tables' rows."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [word for cell in cells for word in re.findall(r"`([a-z_]+)`", cell)]


def test_the_file_that_the_page_shows_can_be_read() -> None:
    """People's issuer and workloads'."""
    text = next(example.text for example in examples(PAGE) if example.language == "yaml")
    people, cluster = read_issuers(text)
    assert people.roles["sales-emea"] == ("sales-agent", "analyst")
    assert cluster.subjects["system:serviceaccount:shop:tiergate-sidecar"] == ("sidecar",)


def test_every_key_of_an_issuer_is_explained() -> None:
    """In its order, with its default."""
    section = PAGE.read_text(encoding="utf-8").split("## Tokens")[1].split("## What")[0]
    fields = {field.name: field for field in msgspec.structs.fields(IssuerSettings)}
    assert words(section) == [*fields]
    assert f"| {', '.join(fields['algorithms'].default)} |" in section
    assert f"| `{fields['leeway'].default}` |" in section
    assert set(fields["algorithms"].default) <= set(ALGORITHMS)


def test_every_member_of_a_key_and_of_an_entry_is_explained() -> None:
    """All that answers show of them."""
    section = PAGE.read_text(encoding="utf-8").split("## API keys")[1].split("## Tokens")[0]
    shown = {field.name for field in msgspec.structs.fields(ApiKey)} - {"id"}
    assert {*words(section)} == shown
    explained = words(LOG.read_text(encoding="utf-8"))
    explained.remove("actor_name")  # only answers to searches have it
    assert explained == [field.name for field in msgspec.structs.fields(AuditEntry)]
