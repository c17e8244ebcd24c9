"""What rules take from everybody, and from everybody who has a plan: features and plans that cannot be used, or sold.

A plan is asked about only if a rule names it, or one of its versions: rules treat all others alike.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tiergate.impact.rule_lint.findings import RuleFinding, listed
from tiergate.impact.symbolic.formulas import atoms, both, negated
from tiergate.model import FeatureStatus, ItemKind, ItemStatus
from tiergate.naming import item_ref, version_ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.engine import BundleSource
    from tiergate.impact.rule_lint.feature_rules import FeatureRules
    from tiergate.impact.symbolic.formulas import Formula
    from tiergate.model import IndexedItem, Value


def lint_plans(bundle: BundleSource, features: Sequence[FeatureRules]) -> Iterator[RuleFinding]:
    """Yield the features that rules deny to everybody, and what they deny to everybody who has a plan."""
    denied: defaultdict[str, list[str]] = defaultdict(list)
    for it in features:
        rule = _denying(it, True)
        if rule:
            denied[rule] += it.ids
    for rule, ids in denied.items():
        whole = len(ids) == sum(1 for it in bundle.index.features.values() if it.status is not FeatureStatus.DRAFT)
        message = "nobody is ever granted any feature" if whole else f"nobody is ever granted {listed(ids)}"
        yield RuleFinding(rule, "rule-denies-everybody", message)
    for item in bundle.index.items.values():
        if item.kind is ItemKind.PLAN and item.status is not ItemStatus.DRAFT:
            yield from _of_plan(bundle, item, features, {id_ for ids in denied.values() for id_ in ids})


def _of_plan(
    bundle: BundleSource, item: IndexedItem, features: Sequence[FeatureRules], denied: set[str]
) -> Iterator[RuleFinding]:
    if not item.versions:
        return
    ref, whole = version_ref(item.kind, item.id, item.versions[-1]), item_ref(item.kind, item.id)
    given = [name for name, value in bundle.definition(ref).items() if _grants(value)]
    lost: defaultdict[str, list[str]] = defaultdict(list)
    for it in features:
        taken = [name for name in it.ids if name in given and name not in denied]
        if taken and _names(it, {ref, whole}):
            rule = _denying(it, both(it.member(ref), it.member(whole)))
            if rule:
                lost[rule] += taken
    for rule, ids in lost.items():
        if len(ids) == len(given):
            yield RuleFinding(rule, "plan-denied", f"nobody who has `{item.id}` is ever granted what it gives")
        else:
            message = f"nobody who has `{item.id}` is ever granted {listed(ids)}, which it gives"
            yield RuleFinding(rule, "entitlement-denied", message)


def _grants(value: Value) -> bool:
    """Return whether a value grants anything."""
    return bool(getattr(value, "units", 1)) and getattr(value, "on", True)


def _names(rules: FeatureRules, refs: set[str]) -> bool:
    return any(ref in refs for truth in rules.truths.values() for ref in _items_of(truth.true, truth.errs))


def _items_of(*formulas: Formula) -> Iterator[str]:
    for formula in formulas:
        for atom in atoms(formula):
            if atom.about[0] == "item":
                yield str(atom.about[1])


def _denying(rules: FeatureRules, whose: Formula) -> str:
    """Return the rule because of which no holder is ever granted a feature; empty if some check is granted."""
    own = frozenset(rules.rules)
    if not own or not rules.is_impossible(both(whose, rules.granted())):
        return ""
    if rules.is_impossible(both(whose, rules.granted(own))):
        return ""  # it is not because of rules
    for id_ in rules.rules:
        truth = rules.truths[id_]
        if rules.is_forbid(id_) and rules.is_impossible(both(whose, negated(truth.true))):
            return id_
    for id_ in rules.rules:
        if not rules.is_impossible(both(whose, rules.granted(frozenset({id_})))):
            return id_
    return rules.rules[0]
