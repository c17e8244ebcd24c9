"""A bundle of format 1, as the compiler wrote it before usage was metered, must still decide."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.engine.small import NOW, Subjects, Usage, check, override, record, subscription
from tiergate.bundle import Bundle
from tiergate.cedar import PolicyGroup, Schema, authorize_request, parse_policies
from tiergate.engine import Evaluator, ShapeEvaluator, explain
from tiergate.engine.cedar_context import knows_metering
from tiergate.model import LimitKind, MeteredAmount, MeteredUsage

FOLDER = Path(__file__).parents[2] / "golden" / "bundle-format-1"


def evaluator(usage: MeteredUsage | None = None, *, soft: bool = False) -> Evaluator:
    """An engine for the bundle, with a customer of its plan."""
    files = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}
    bundle = Bundle.from_files(files)
    source = Usage()
    source.usage = usage or MeteredUsage()
    overrides = (override("movies", MeteredAmount(50, limit=LimitKind.SOFT)),) if soft else ()
    subjects = Subjects(record(subscription("gold"), overrides=overrides))
    return Evaluator(bundle, subjects, usage=source)


def test_its_schema_does_not_know_metering() -> None:
    """That of a new one does."""
    assert not knows_metering((FOLDER / "schema.cedarschema").read_text())
    assert knows_metering((Path(__file__).parents[3] / "policies" / "schema.cedarschema").read_text())


@pytest.mark.parametrize(
    ("used", "amount", "reason"),
    [(49, 1, "granted"), (50, 1, "limit_reached"), (0, 31, "rule_denied"), (990, 1, "limit_reached")],
)
def test_it_decides_as_before(used: int, amount: int, reason: str) -> None:
    """Its own policies, with both layers."""
    of, usage = check("movies", amount=amount), MeteredUsage(used)
    layers = (evaluator(usage), ShapeEvaluator(evaluator(usage)))
    assert [layer.decide(of, NOW).reason for layer in layers] == [reason, reason]


def test_what_its_policies_do_not_know_gives_nothing() -> None:
    """Neither grants nor a soft limit: a hard one is safe, and no error."""
    granted = evaluator(MeteredUsage(50, granted=9)).decide(check("movies"), NOW)
    soft = evaluator(MeteredUsage(50), soft=True).decide(check("movies"), NOW)
    assert [(it.reason, it.entitlement.value) for it in (granted, soft)] == [("limit_reached", 50)] * 2


def test_its_context_is_valid_in_its_schema() -> None:
    """So that another Cedar engine can decide what is exported."""
    files = explain(evaluator(MeteredUsage(3, window_end=NOW + 5)), check("movies"), NOW).export.files
    request = json.loads(files["request.json"])
    group = PolicyGroup.of((it.id, it) for it in parse_policies(files["policies.cedar"]))
    parts = (request["principal"], request["action"], request["resource"], files["context.json"])
    result = authorize_request(group, files["entities.json"], Schema(files["schema.cedarschema"]), *parts)
    assert (result.allowed, result.errors) == (True, ())
