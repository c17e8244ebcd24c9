"""Explanations: everything that a decision rested on, as data for a person or for another Cedar engine.

The slow path beside `decide`: it evaluates afresh, and reads the text of the policies from the bundle.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from tiergate.cedar import parse_policies, split_policies, with_id
from tiergate.engine.contexts import context_json
from tiergate.engine.entities import principal_entities
from tiergate.engine.questions import read_question
from tiergate.model import Decision, Instant, format_instant
from tiergate.model.features import ACTIONS
from tiergate.naming import policy_id, rule_id

if TYPE_CHECKING:
    from tiergate.engine.engine import Engine, Evaluation
    from tiergate.model import Check

__all__ = ["Explanation", "Export", "PolicyText", "explain"]


class PolicyText(msgspec.Struct, frozen=True):
    """A policy that could matter: its id, its text, and whether it decided."""

    id: str
    text: str
    decided: bool


class Export(msgspec.Struct, frozen=True):
    """What another Cedar engine needs to reach the same decision: file name → content.

    `policies.cedar` holds the slice under `@id`s, `reasons.cedar` the set that is asked after a denial that nothing
    forbade, `schema.cedarschema`, `entities.json` and `request.json` the rest. Empty where the subject is unknown.
    """

    files: dict[str, str]


class Explanation(msgspec.Struct, frozen=True):
    """A decision and what it rested on.

    `context`: the facts as Cedar saw them, with `now` and `weekday`. `held`: item version → quantity, of everything
    that the subject holds now. `policies`: every policy of the slice, the deciding ones first.
    """

    decision: Decision
    now: Instant
    principal: str
    action: str
    context: dict[str, Any]
    held: dict[str, int]
    policies: tuple[PolicyText, ...]
    export: Export


def explain(engine: Engine, check: Check, now: Instant) -> Explanation:
    """Decide a check afresh and lay open why.

    Raises:
        UnknownFeatureError, CheckError: as `Engine.decide`.
        BundleError: the text of a policy cannot be read.
    """
    evaluation = engine.evaluate(check, now)
    facts, holdings, part = evaluation.facts, evaluation.holdings, evaluation.slice
    if facts is None or holdings is None or part is None or evaluation.principal is None:
        return Explanation(evaluation.decision, now, "", evaluation.action, {}, {}, (), Export({}))
    feature, question = read_question(check, engine.index.features)
    context = context_json(facts, question, evaluation.usage, now, time=True)
    texts = _texts(engine, evaluation)
    deciding = set(evaluation.decision.policies)
    policies = tuple(PolicyText(name, text, name in deciding) for name, text in texts.items())
    reasons = _named(engine, "policies/reasons.cedar")
    policies += tuple(PolicyText(name, text, decided=True) for name, text in reasons.items() if name in deciding)
    principal = principal_entities(check.subject, holdings.customer, holdings.refs)
    held: dict[str, int] = {}
    for holding in holdings.holdings:
        for version in holding.versions:
            held[version.ref] = held.get(version.ref, 0) + version.quantity
    uid = evaluation.principal
    action = ACTIONS[feature.type]
    request = {
        "principal": str(uid),
        "action": f'Action::"{action}"',
        "resource": f'Feature::"{feature.id}"',
        "context": json.loads(context),
    }
    export = Export(
        {
            "policies.cedar": "\n\n".join(texts.values()) + "\n",
            "reasons.cedar": engine.bundle.text("policies/reasons.cedar"),
            "schema.cedarschema": engine.bundle.text("schema.cedarschema"),
            "entities.json": _pretty(engine.factory.listed(feature, part.rules, principal, holdings.refs)),
            "context.json": _pretty(request["context"]),
            "request.json": _pretty(request),
        }
    )
    return Explanation(
        decision=evaluation.decision,
        now=now,
        principal=str(uid),
        action=action,
        context={**json.loads(context), "now": format_instant(now)},
        held=dict(sorted(held.items())),
        policies=tuple(sorted(policies, key=lambda it: (not it.decided, it.id))),
        export=export,
    )


def _texts(engine: Engine, evaluation: Evaluation) -> dict[str, str]:
    """The text of every policy of the slice by its id."""
    facts, part = evaluation.facts, evaluation.slice
    if facts is None or part is None:
        return {}
    built = _named(engine, "policies/guards.cedar") | _named(engine, "policies/overrides.cedar")
    texts = {it.id: built[it.id] for it in part.static if not it.rule}
    for ref in facts.givers:
        name = policy_id(ref, facts.feature.id)
        texts[name] = _named(engine, f"policies/items/{ref}.cedar")[name]
    for path in engine.bundle.paths("policies/rules/") if part.rules else ():
        file = path.removeprefix("policies/rules/").removesuffix(".cedar")
        rules = {rule_id(file, name): text for name, text in _named(engine, path).items()}
        for it in part.rules:
            if it.id in rules:
                texts[it.id] = with_id(rules[it.id], it.id)
    return texts


def _named(engine: Engine, path: str) -> dict[str, str]:
    """The policies of a file of the bundle by their `@id`; only files that parse are in one."""
    text = engine.bundle.text(path)
    return {policy.id: piece for policy, (_, piece) in zip(parse_policies(text), split_policies(text), strict=True)}


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
