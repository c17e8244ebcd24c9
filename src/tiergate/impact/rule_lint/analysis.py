"""Findings that are proved about rules: that they never apply, fail, change nothing, or decide everything.

Every finding is a proof over all checks of all features, from `now` on: what cannot be proved is not reported. Rules
are read once for each feature that their scope can match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.engine.slices import PolicySlices
from tiergate.impact.rule_lint.feature_rules import FeatureRules
from tiergate.impact.rule_lint.findings import RuleFinding, listed
from tiergate.impact.rule_lint.near_misses import KnownNames, find_near_misses
from tiergate.impact.rule_lint.plan_analysis import lint_plans
from tiergate.impact.rule_lint.suspicious_text import find_suspicious_text
from tiergate.impact.rule_set import policy_concerns
from tiergate.impact.symbolic.formulas import both, either, negated
from tiergate.impact.symbolic.symbolic_context import BundleEntities
from tiergate.model import FeatureStatus, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.engine import BundleSource
    from tiergate.engine.slices import StaticPolicy
    from tiergate.model import Feature, Instant

_SLICES: Final = (100, 4 * 2**20)
_MOST_RULES: Final = 100
"""With more rules about one feature, it takes too long to analyze whether each has an effect beside the others."""


def lint_rules(bundle: BundleSource, names: KnownNames, now: Instant) -> list[RuleFinding]:
    """Return the findings about the rules of a bundle, from `now` on.

    `names`: what subjects and rollouts have. Raises `BundleError` if the bundle cannot be read.
    """
    slices = PolicySlices(bundle, *_SLICES)
    rules = [static for static in slices.static if static.rule]
    if not rules:
        return []
    data = BundleEntities(bundle)
    features = [FeatureRules(group[0], [it.id for it in group], slices, data, now) for group in _alike(bundle, rules)]
    return [*_lint(rules, features), *lint_plans(bundle, features), *_names(rules, bundle, names)]


def _alike(bundle: BundleSource, rules: Sequence[StaticPolicy]) -> list[list[Feature]]:
    """Return the active features that some rule concerns, together with those that all policies treat alike."""
    named = {it.uid.id for static in rules for it in static.policy.references() if it.uid.type == "Feature"}
    groups: dict[object, list[Feature]] = {}
    for feature in bundle.index.features.values():
        if feature.status is FeatureStatus.DRAFT or not any(policy_concerns(it.policy, feature) for it in rules):
            continue
        key = (
            *(feature.type, feature.tags, feature.unit, feature.scale, feature.batch, feature.caps),
            *(len(feature.labels), feature.metered is not None, feature.draws, feature.id in named and feature.id),
        )
        groups.setdefault(key, []).append(feature)
    return list(groups.values())


def _names(rules: Sequence[StaticPolicy], bundle: BundleSource, names: KnownNames) -> Iterator[RuleFinding]:
    for static in rules:
        yield from find_near_misses(static.id, static.policy, bundle.index, names)
        yield from find_suspicious_text(static.id, static.policy)


def _lint(rules: Sequence[StaticPolicy], features: Sequence[FeatureRules]) -> Iterator[RuleFinding]:
    """Yield the findings about each rule. The last of several that repeat each other is the one without effect."""
    useless: set[str] = set()
    found: dict[str, list[RuleFinding]] = {}
    for static in reversed(rules):
        concerned = [it for it in features if policy_concerns(static.policy, it.feature)]
        found[static.id] = list(_about(static, concerned, useless))
        if any(it.code in {"rule-without-effect", "rule-never-applies"} for it in found[static.id]):
            useless.add(static.id)
    for static in rules:
        yield from found[static.id]


def _about(static: StaticPolicy, features: Sequence[FeatureRules], useless: set[str]) -> Iterator[RuleFinding]:
    id_ = static.id
    if not features:
        yield RuleFinding(id_, "rule-never-applies", "no active feature of the catalog fits its action and resource")
        return
    concerned = [it for it in features if id_ in it.truths]
    if all(it.is_impossible(either(it.truths[id_].true, it.truths[id_].errs)) for it in concerned):
        yield RuleFinding(id_, "rule-never-applies", "no check fulfils its conditions, from now on")
        return
    if all(it.is_impossible(negated(it.truths[id_].errs)) for it in concerned):
        message = "it cannot be evaluated for any check, so that all of them are denied with `evaluation_error`"
        yield RuleFinding(id_, "rule-always-fails", message)
        return
    yield from _failing(id_, concerned)
    if static.policy.effect == "permit":
        yield from _permitting(id_, concerned)
    yield from _useless(static, concerned, useless)


def _failing(id_: str, features: Sequence[FeatureRules]) -> Iterator[RuleFinding]:
    for it in features:
        case = it.fails_ordinarily(id_)
        if case is not None:
            numbers = " and ".join(f"`context.{name}` is {_shown(name, number)}" for name, number in case.items())
            message = f"it cannot be evaluated for `{it.feature.id}` where {numbers}: the check is denied"
            yield RuleFinding(id_, "rule-can-fail", message)
            return


def _shown(name: str, number: int) -> str:
    return f"`{list(Status)[number].value}`" if name == "status" else f"{number:,}"


def _permitting(id_: str, features: Sequence[FeatureRules]) -> Iterator[RuleFinding]:
    """A permit that applies to every check of a feature."""
    whole = [name for it in features if it.is_impossible(negated(it.applies(id_))) for name in it.ids]
    if whole:
        message = f"it permits {listed(whole)} to everybody, whether they have it or not"
        yield RuleFinding(id_, "rule-permits-everybody", message)


def _useless(static: StaticPolicy, features: Sequence[FeatureRules], useless: set[str]) -> Iterator[RuleFinding]:
    """A rule that applies only where others decide the same, without those that are useless already."""
    id_ = static.id
    if any(len(it.rules) > _MOST_RULES for it in features):
        return
    is_forbid = static.policy.effect == "forbid"
    without = frozenset({id_, *useless})
    for it in features:
        truth = it.truths[id_]
        if not it.is_impossible(both(truth.errs, negated(it.fails(without=id_)))):
            return
        if is_forbid:
            beside = both(truth.true, negated(it.forbidden(without)))
        else:
            beside = both(
                both(truth.true, negated(it.forbidden(frozenset({*useless})))), negated(it.permitted(without))
            )
        if not it.is_impossible(beside):
            return
    if not is_forbid and all(
        it.is_impossible(both(it.truths[id_].true, negated(it.forbidden(frozenset({*useless}))))) for it in features
    ):
        yield RuleFinding(id_, "rule-without-effect", "other rules and what is shipped forbid all that it permits")
        return
    by = _implying(id_, features, without, is_forbid=is_forbid)
    verb = "forbids" if is_forbid else "permits"
    who = f"`{by}` {verb}" if by else f"other rules and what is shipped {verb.removesuffix('s')}"
    yield RuleFinding(id_, "rule-without-effect", f"{who} all that it {verb}")


def _implying(id_: str, features: Sequence[FeatureRules], without: frozenset[str], *, is_forbid: bool) -> str:
    """Return the one policy that applies wherever a rule does; empty if it takes several."""
    candidates = [
        name
        for name in dict.fromkeys(name for it in features for name in it.truths)
        if name not in without and all(name in it.truths and it.is_forbid(name) is is_forbid for it in features)
    ]
    for name in candidates:
        if all(it.is_impossible(both(it.truths[id_].true, negated(it.truths[name].true))) for it in features):
            return name
    return ""
