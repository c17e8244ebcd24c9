"""The page on the language of rules: what it shows is compiled and asked, what it lists is what there is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from tests.docs.pages import ROOT, examples
from tiergate.bundle import Bundle
from tiergate.catalog import TotalBounds, load_catalog, load_subjects
from tiergate.cedar import builtin_schema
from tiergate.compiler import compile_catalog
from tiergate.engine import Evaluator
from tiergate.engine.feature_status import FeatureStatuses, fixed_status
from tiergate.model import Check, Decision, Reason, Rules, Status, Subject, parse_instant
from tiergate.model.checks import REASON_PRECEDENCE

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.model import SubjectRecord

PAGE = ROOT / "docs" / "reference" / "rules-language.md"
RULES = ROOT / "examples" / "rules"
CATALOG = load_catalog([ROOT / "examples" / "streaming" / "catalog.yaml"]).catalog


class Shown(NamedTuple):
    """A rule that the page shows, with its schema and entities, and one of the checks below it."""

    rules: Rules
    check: dict[str, Any]
    line: int


def shown() -> list[Shown]:
    """Every check of the page with the rules above it."""
    found: list[Shown] = []
    texts: dict[str, str] = {}
    for example in examples(PAGE):
        if example.language == "yaml":
            kinds = ("cedar", "cedarschema", "json")
            rules = Rules(*({"shown": texts[kind]} if kind in texts else {} for kind in kinds))
            checks = yaml.load(example.text, yaml.BaseLoader)["checks"]  # every scalar as text, as in a subjects file
            found += [Shown(rules, check, example.line) for check in checks]
            texts = {}
        else:
            texts[example.language] = example.text
    return found


class Somebody:
    """The one customer of a check."""

    def __init__(self, record: SubjectRecord) -> None:
        self.record = record

    def find(self, subject: Subject) -> SubjectRecord | None:
        """The record, whoever is asked for."""
        return self.record if subject.id == self.record.customer.id else None


def decide(rules: Rules, check: dict[str, Any], folder: Path) -> Decision:
    """Compile the rules and ask a check of the page."""
    customer, ask, at = check.get("customer", {}), check["ask"], check.get("at", "2026-11-18T12:00:00Z")
    now = parse_instant(at)
    held = customer.get("items", ["gold"])
    subscription = {"id": "sub", "customer": "somebody", "status": customer.get("status", "active")}
    known = {
        "apiVersion": "tiergate/v1",
        "customers": [
            {key: value for key, value in customer.items() if key not in {"items", "status"}} | {"id": "somebody"}
        ],
        "subscriptions": [subscription | {"items": [{"item": item} for item in held]}],
    }
    (folder / "subjects.json").write_text(json.dumps(known), encoding="utf-8")
    bundle = Bundle.from_files(compile_catalog(CATALOG, rules))
    records = load_subjects([folder / "subjects.json"], bundle.index, TotalBounds.of(CATALOG))
    asked: dict[str, Any] = {
        key: int(value) if key in {"used", "amount", "value"} else value for key, value in ask.items()
    }
    statuses = FeatureStatuses(fixed_status(ask["feature"], Status(check.get("status", "operational")), now))
    engine = Evaluator(bundle, Somebody(records["somebody"]), statuses=statuses)
    return engine.decide(Check(Subject("somebody"), **asked), now)


@pytest.mark.parametrize("case", shown(), ids=lambda case: f"line-{case.line}")
def test_a_rule_answers_as_the_page_says(case: Shown, tmp_path: Path) -> None:
    """Each check on the page has the answer that stands beside it."""
    decision = decide(case.rules, case.check, tmp_path)
    assert decision.reason == case.check["answer"]


@pytest.mark.parametrize(
    "case", [it for it in shown() if it.check["answer"] == "rule_denied"], ids=lambda it: f"line-{it.line}"
)
def test_a_denial_on_the_page_is_the_rules_doing(case: Shown, tmp_path: Path) -> None:
    """Without the rule, the same check is answered otherwise: it is the rule that bites."""
    decision = decide(Rules(), case.check, tmp_path)
    assert decision.reason is not Reason.RULE_DENIED


def test_the_rules_of_the_page_are_the_examples() -> None:
    """The page shows the files of `examples/rules`, all of them and as they are."""
    kinds = {".cedar": "cedar", ".cedarschema": "cedarschema", ".json": "json"}
    files = {(kinds[it.suffix], it.read_text(encoding="utf-8")) for it in RULES.iterdir() if it.suffix in kinds}
    assert {(it.language, it.text) for it in examples(PAGE) if it.language != "yaml"} == files


def test_the_page_lists_the_context_of_every_action() -> None:
    """The page's table of context attributes is the schema's, action by action."""
    actions = dict(
        re.findall(r"^action (\w+) in .*?context: \{(.*?)\n  \},", builtin_schema(), re.MULTILINE | re.DOTALL)
    )
    declared = {
        action: dict(re.findall(r"^    (\w+\??): (\w+),", body, re.MULTILINE)) for action, body in actions.items()
    }
    listed: dict[str, dict[str, str]] = {action: {} for action in declared}
    rows = re.findall(
        r"^\| `context\.(\w+)` \| `(\w+)` \| (.+?) \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    for name, kind, where, meaning in rows:
        for action in declared if where == "all" else re.findall(r"`(\w+)`", where):
            listed[action][name + "?" * meaning.startswith("optional")] = kind
    assert listed == declared


def test_the_pages_order_of_reasons_is_the_one_in_force() -> None:
    """What stands above a rule's denial and what below is what the reasons' precedence says."""
    rows = re.findall(r"^\| (`\w+_\w+`.*?) \| (.*?) ?\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    above = [reason for row in rows for reason in re.findall(r"`(\w+_\w+)`", row[0])]
    below = [reason for row in rows for reason in re.findall(r"`(\w+_\w+)`", row[1])]
    assert len(above) == 4
    assert len(below) == 6
    order = [Reason(it) for it in [*above, "rule_denied", *below]]
    assert order == sorted(order, key=REASON_PRECEDENCE.__getitem__)
