"""Invariant 2: a slice decides, explains and errs as the whole policy set.

The whole set is plain text, of every policy file of the bundle, with all entities, given to Cedar's plain interface.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from hypothesis import event, given
from hypothesis import strategies as st

from tests.properties.documents import Document, worlds
from tests.properties.engines import World, check_of
from tests.properties.inquiries import Inquirer
from tests.properties.rules import rule_files
from tiergate.cedar import authorize_text, parse_policies
from tiergate.engine.cedar_entities import principal_entities
from tiergate.engine.normalized_check import normalize_check
from tiergate.model.checks import REASON_PRECEDENCE, Reason

if TYPE_CHECKING:
    from tiergate.bundle import Bundle
    from tiergate.engine import Evaluation
    from tiergate.model import Check


def whole_policies(bundle: Bundle) -> str:
    """The text of every policy that may permit or forbid, the users' rules under their full ids."""
    texts = [bundle.text("policies/guards.cedar"), bundle.text("policies/overrides.cedar")]
    texts += [bundle.text(path) for path in bundle.paths("policies/items/")]
    for path in bundle.paths("policies/rules/"):
        file = path.removeprefix("policies/rules/").removesuffix(".cedar")
        texts.append(bundle.text(path).replace('@id("', f'@id("rule/{file}/'))
    return "\n".join(texts)


def whole_entities(bundle: Bundle, check: Check, evaluation: Evaluation) -> str:
    """Every feature, tag and item of the bundle, and the subject of the check."""
    assert evaluation.active_items is not None
    found: dict[str, dict[str, Any]] = {}
    for path in ["entities/features.json", *bundle.paths("entities/items/")]:
        for entity in json.loads(bundle.text(path)):
            found.setdefault(json.dumps(entity["uid"], sort_keys=True), entity)
    own = principal_entities(check.subject, evaluation.active_items.customer, evaluation.active_items.refs)
    return json.dumps([*json.loads(f"[{own}]"), *found.values()])


def faults(errors: tuple[str, ...], names: dict[str, str]) -> list[str]:
    """Errors under the ids of their policies."""
    return sorted(re.sub(r"`(policy\d+)`", lambda match: f"`{names[match[1]]}`", error) for error in errors)


@given(worlds(), st.data(), st.integers(0, 2**32))
def test_a_slice_decides_explains_and_errs_as_the_whole_set(
    drawn: tuple[Document, Document], data: st.DataObject, seed: int
) -> None:
    """Decision, deciding policies and errors are those of all policies and all entities together."""
    world = World(*drawn, data.draw(rule_files(*drawn), label="rules"))
    engine = world.engine()
    policies, schema = whole_policies(world.bundle), world.bundle.text("schema.cedarschema")
    names = {policy.position: policy.id for policy in parse_policies(policies)}
    for now, ask in Inquirer(*drawn, seed).asks(nows=2, checks=3):
        check = check_of(ask)
        evaluation = engine.evaluate(check, now)
        if evaluation.facts is None:
            event("unknown subject")
            continue
        feature, question = normalize_check(check, engine.index.features)
        request = {
            "principal": str(evaluation.principal),
            "action": f'Action::"{evaluation.action}"',
            "resource": f'Feature::"{feature.id}"',
            "context": json.loads(engine.context_of(evaluation.facts, question, evaluation.usage, now)),
        }
        entities = whole_entities(world.bundle, check, evaluation)
        whole = authorize_text(policies, entities, schema, request)
        decision = evaluation.decision
        assert faults(decision.errors, {}) == faults(whole.errors, names)
        assert decision.allowed == (whole.allowed and not whole.errors)
        deciding = whole.policies
        if not whole.allowed and not whole.policies and not whole.errors:
            deciding = authorize_text(world.bundle.text("policies/reasons.cedar"), entities, schema, request).policies
        assert decision.policies == deciding
        assert decision.reason == reason_of(world.bundle, decision.allowed, deciding, whole.errors)
        event(decision.reason)


def reason_of(bundle: Bundle, allowed: bool, deciding: tuple[str, ...], errors: tuple[str, ...]) -> str:
    """The reason by the annotations of the policies that decided."""
    if errors:
        return Reason.EVALUATION_ERROR
    if allowed:
        return Reason.GRANTED
    annotated: dict[str, Reason] = {}
    for name in ("guards", "reasons"):
        for policy in parse_policies(bundle.text(f"policies/{name}.cedar")):
            annotated[policy.id] = Reason(policy.annotations["reason"])
    reasons = [annotated.get(it, Reason.RULE_DENIED) for it in deciding]
    return min(reasons, key=REASON_PRECEDENCE.__getitem__)
