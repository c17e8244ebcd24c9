"""Explanations: everything that a decision was made from, for `trace` and for another Cedar engine.

Slow: evaluates without caches, and reads the text of the policies from the bundle.

Both functions raise as `Evaluator.decide`, and `BundleError` if the text of a policy cannot be read.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec.structs import replace

from tiergate.cedar import split_policies, with_id
from tiergate.engine.cedar_entities import principal_entities
from tiergate.engine.evaluator import Evaluation
from tiergate.engine.normalized_check import NormalizedCheck, normalize_check
from tiergate.engine.slices import parsed
from tiergate.model import Decision, IndexedItem, Instant, Value, format_instant
from tiergate.model.features import ACTIONS
from tiergate.naming import item_policies_path, policy_id, rule_policies_path
from tiergate.wire.explanation import PolicyText

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.cedar import Uid
    from tiergate.engine.active_items import ActiveItems
    from tiergate.engine.evaluator import Evaluator
    from tiergate.engine.facts import Facts
    from tiergate.engine.slices import PolicySlice
    from tiergate.model import Check, Feature

_KEPT_TEXTS = 32


class Export(msgspec.Struct, frozen=True):
    """What another Cedar engine needs to reach the same decision: file name → content.

    `policies.cedar` holds the slice under `@id`s, `reasons.cedar` the set that is asked after a denial that nothing
    forbade, `schema.cedarschema`, `entities.json` and `request.json` the rest. Empty where the subject is unknown.
    """

    files: dict[str, str]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A decision and everything that it is based on.

    `context`: the facts for Cedar, with `now` and `weekday`. `held`: item version → quantity, of all active ones.
    `policies`: every policy of the slice, the deciding ones first. `question`: the check in units. `metered`: whether
    usage is counted here. `given`: item version → its value of the feature, of those that have one. `items`: the
    catalog's items by id. `export` is empty unless it was requested.
    """

    decision: Decision
    now: Instant
    action: str
    evaluation: Evaluation
    question: NormalizedCheck
    metered: bool
    items: dict[str, IndexedItem]
    principal: str = ""
    context: dict[str, Any] = {}
    held: dict[str, int] = {}
    policies: tuple[PolicyText, ...] = ()
    export: Export = Export({})
    given: dict[str, Value] = {}


class _KnownSubject(NamedTuple):
    """The parts of an evaluation about a known subject."""

    feature: Feature
    facts: Facts
    active_items: ActiveItems
    part: PolicySlice
    principal: Uid


def explain(evaluator: Evaluator, check: Check, now: Instant, *, export: bool = True) -> Explanation:
    """Evaluate a check and explain the decision; with `export` also for another Cedar engine."""
    return explain_evaluation(evaluator, evaluator.evaluate(check, now), export=export)


def explain_evaluation(evaluator: Evaluator, evaluation: Evaluation, *, export: bool = False) -> Explanation:
    """Explain the decision of an evaluation of this evaluator."""
    check, now = evaluation.check, evaluation.now
    feature, question = normalize_check(check, evaluator.index.features)
    facts, active, part, principal = evaluation.facts, evaluation.active_items, evaluation.slice, evaluation.principal
    explanation = Explanation(
        decision=evaluation.decision,
        now=now,
        action=evaluation.action,
        evaluation=evaluation,
        question=question,
        metered=evaluator.is_metered(feature),
        items=evaluator.index.items,
        principal="" if principal is None else str(principal),
        held={} if active is None else _held(active),
    )
    if facts is None or active is None or part is None or principal is None:
        return explanation
    known = _KnownSubject(feature, facts, active, part, principal)
    context = json.loads(evaluator.context_of(facts, question, evaluation.usage, now))
    texts = _texts(evaluator, known)
    policies = _shown(evaluator, evaluation.decision, texts)
    return replace(
        explanation,
        context={**context, "now": format_instant(now)},
        policies=tuple(sorted(policies, key=lambda policy: (not policy.decided, policy.id))),
        export=_export(evaluator, check, known, context, texts) if export else Export({}),
        given={ref: evaluator.bundle.definition(ref)[feature.id] for ref in facts.givers},
    )


def _held(active: ActiveItems) -> dict[str, int]:
    held: dict[str, int] = {}
    for subscription in active.subscriptions:
        for version in subscription.versions:
            held[version.ref] = held.get(version.ref, 0) + version.quantity
    return dict(sorted(held.items()))


def _shown(evaluator: Evaluator, decision: Decision, texts: Mapping[str, str]) -> list[PolicyText]:
    """Return the policies of the slice, and those that gave the reason of a denial that nothing forbade."""
    deciding = set(decision.policies)
    reasons = {
        name: it for name, it in _named(evaluator.bundle.text("policies/reasons.cedar")).items() if name in deciding
    }
    found: list[PolicyText] = []
    for name, text in (*texts.items(), *reasons.items()):
        static = evaluator.slices.by_id.get(name)
        forbids = static is not None and (name in reasons or static.policy.effect == "forbid")
        found.append(
            PolicyText(
                name,
                text,
                name in deciding,
                static.reason.value if static is not None and forbids else "",
                "" if static is None else static.policy.annotations.get("description", ""),
            )
        )
    return found


def _export(
    evaluator: Evaluator, check: Check, known: _KnownSubject, context: dict[str, Any], texts: Mapping[str, str]
) -> Export:
    feature, active = known.feature, known.active_items
    principal = principal_entities(check.subject, active.customer, active.refs)
    request = {
        "principal": str(known.principal),
        "action": f'Action::"{ACTIONS[feature.type]}"',
        "resource": f'Feature::"{feature.id}"',
        "context": context,
    }
    return Export(
        {
            "policies.cedar": "\n\n".join(texts.values()) + "\n",
            "reasons.cedar": evaluator.bundle.text("policies/reasons.cedar"),
            "schema.cedarschema": evaluator.bundle.text("schema.cedarschema"),
            "entities.json": _pretty(evaluator.factory.listed(feature, known.part.rules, principal, active.refs)),
            "context.json": _pretty(context),
            "request.json": _pretty(request),
        }
    )


def _texts(evaluator: Evaluator, known: _KnownSubject) -> dict[str, str]:
    """Return the text of every policy of the slice by its id. Long texts are not parsed here."""
    bundle, part = evaluator.bundle, known.part
    built = _named(bundle.text("policies/guards.cedar")) | _named(bundle.text("policies/overrides.cedar"))
    texts = {it.id: built[it.id] for it in part.static if not it.rule}
    for ref in known.facts.givers:
        name = policy_id(ref, known.feature.id)
        texts[name] = _permit(bundle.text(item_policies_path(ref)), name)
    pieces: dict[str, tuple[str, ...]] = {}
    for it in part.rules:
        path = rule_policies_path(it.id.split("/")[1])
        if path not in pieces:
            pieces[path] = _pieces(bundle.text(path))
        texts[it.id] = with_id(pieces[path][it.policy.place], it.id)
    return texts


def _permit(text: str, name: str) -> str:
    """Return one permit of an item version's file, found by the compiler's layout: the file may have thousands."""
    head = f'@id("{name}")\n'
    begin = 0 if text.startswith(head) else text.find(f"\n\n{head}") + 2
    if begin < 2 and not text.startswith(head):
        return _named(text)[name]
    end = text.find('\n\n@id("', begin)
    return (text[begin:] if end < 0 else text[begin:end]).rstrip()


def _named(text: str) -> dict[str, str]:
    """Return the policies of a file of the bundle by their `@id`."""
    return {policy.id: piece for policy, piece in zip(parsed(text), _pieces(text), strict=True)}


@lru_cache(maxsize=_KEPT_TEXTS)
def _pieces(text: str) -> tuple[str, ...]:
    return tuple(piece for _, piece in split_policies(text))


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
