"""Cases that pages show: a YAML block with a catalog, subjects, and checks with what is answered.

A block says what a catalog file and a subjects file say, in one: `plans`, `features`, `items`, `customers`,
`subscriptions`.
What it leaves out is as in the block before it; `customers` is `acme` alone at first. A block marked `cedar` before it
holds rules. Each of its `checks` is asked as JSON, as a service would ask it:

    checks:
      - {ask: {feature: seats, used: 4}, at: 2026-07-01T00:00:00Z, answer: granted, holds: 5}

`ask.subject` is `acme` and `at` is noon of 15 June 2026 where they are left out. `answer` is the reason, or the field
that a problem names. `holds` is the entitlement's value, or `unlimited`; `left` is what remains, `until` the
`valid_until`; `sources` are items and overrides, `policies` as in the answer.
"""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from tests.docs.pages import examples
from tiergate.bundle import Bundle
from tiergate.catalog import TotalBounds, load_subjects
from tiergate.engine import Evaluator, decision_json
from tiergate.errors import CheckError
from tiergate.model import SubjectType, parse_instant
from tiergate.publish import compile_files
from tiergate.wire.check_reader import read_check

if TYPE_CHECKING:
    from tiergate.model import Subject, SubjectRecord

Document = dict[str, Any]

NOON = "2026-06-15T12:00:00Z"

_CATALOG_KEYS = ("plans", "features", "items")
_SUBJECTS_KEYS = ("customers", "subscriptions")
_ORDINARY: Document = {"plans": "one", "items": [], "customers": [{"id": "acme"}], "subscriptions": []}


class Case(NamedTuple):
    """A check of a page: the files that it is decided by, the check, the heading that it is under, and its line."""

    catalog: str
    subjects: str
    rules: str
    check: Document
    heading: str
    line: int


class _Loader(yaml.SafeLoader):
    """YAML without dates: an instant stays the text that it is in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def cases(page: Path) -> list[Case]:
    """Every check that a page shows."""
    found: list[Case] = []
    world = dict(_ORDINARY)
    rules = ""
    lines = page.read_text(encoding="utf-8").splitlines()
    for example in examples(page):
        if example.language == "cedar":
            rules = example.text
        elif example.language == "yaml":
            block: Document = yaml.load(example.text, _Loader)
            world |= {key: block[key] for key in (*_CATALOG_KEYS, *_SUBJECTS_KEYS) if key in block}
            catalog, subjects = (_file(world, keys) for keys in (_CATALOG_KEYS, _SUBJECTS_KEYS))
            heading = next(line for line in reversed(lines[: example.line]) if line.startswith("#")).lstrip("# ")
            first = example.line + example.text[: example.text.find("checks:")].count("\n")
            found += [
                Case(catalog, subjects, rules, check, heading, line)
                for line, check in enumerate(block["checks"], first + 1)
            ]
            rules = ""
    return found


def _file(world: Document, keys: tuple[str, ...]) -> str:
    return json.dumps({"apiVersion": "tiergate/v1"} | {key: world[key] for key in keys})


class _Records:
    """Subjects in memory."""

    def __init__(self, records: dict[str, SubjectRecord]) -> None:
        self._records = records
        self._holders = {held.id: record for record in records.values() for held in record.subscriptions}

    def find(self, subject: Subject) -> SubjectRecord | None:
        """The record of a customer, or of a subscription's."""
        return (self._records if subject.type is SubjectType.CUSTOMER else self._holders).get(subject.id)


@cache
def _engine(catalog: str, subjects: str, rules: str) -> Evaluator:
    """The engine that a sidecar with these files would have."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "catalog.json").write_text(catalog, encoding="utf-8")
        (folder / "subjects.json").write_text(subjects, encoding="utf-8")
        if rules:
            (folder / "rules").mkdir()
            (folder / "rules" / "shown.cedar").write_text(rules, encoding="utf-8")
        made = compile_files([folder / "catalog.json"], folder / "rules" if rules else None)
        bundle = Bundle.from_files(made.files)
        records = load_subjects([folder / "subjects.json"], bundle.index, TotalBounds.of(made.catalog))
    return Evaluator(bundle, _Records(records))


def answer(case: Case) -> Document:
    """What is answered, in the words in which the page says it: of each key that it has there."""
    ask = {"subject": "acme"} | case.check["ask"]
    engine = _engine(case.catalog, case.subjects, case.rules)
    try:
        check = read_check(json.dumps(ask).encode())
        decision = engine.decide(check, parse_instant(case.check.get("at", NOON)))
    except CheckError as error:
        return {"answer": error.field}
    told: Document = json.loads(decision_json(decision))
    entitlement = told["entitlement"]
    said = {
        "answer": told["reason"],
        "holds": "unlimited" if entitlement.get("unlimited") else entitlement["value"],
        "left": entitlement.get("remaining"),
        "until": told.get("valid_until", "").replace(".000Z", "Z") or None,
        "sources": [source.get("override") or f"{source['item']}@{source['version']}" for source in told["sources"]],
        "policies": told["policies"],
    }
    return {key: said[key] for key in case.check if key in said}
