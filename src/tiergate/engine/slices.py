"""Slices: the policies that can matter to one check, as a small parsed set (design, section 3).

A policy is left out only if its scope cannot match the check's principal, action and resource; conditions are never
looked at. So a slice decides, explains and errs exactly as the whole set.

Item policies are links of the templates, made when a slice is; the text in the bundle is never parsed here.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING

import msgspec

from tiergate.cedar import PolicyGroup, Scope, ScopeOp, TemplateLink, Uid, parse_policies
from tiergate.engine.bounded_cache import BoundedCache
from tiergate.errors import BundleError
from tiergate.model import Reason
from tiergate.model.features import ACTIONS
from tiergate.naming import policy_id, rule_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tiergate.cedar import Policy
    from tiergate.engine.sources import BundleSource
    from tiergate.model import Feature

ACCESS = Uid("Action", "access")
"""The group that every action is in."""

TIME_ATTRIBUTES = frozenset({"now", "weekday"})
"""What a rule reads when its answer may change at any instant."""

STATUS_ATTRIBUTES = frozenset({"status"})
"""What a rule reads when its answer depends on the status of the feature."""

_UNLINKED_BYTES = 16 * 2**20
_KEPT_TEXTS = 16
_LINK_BYTES = 3_100
_POLICY_BYTES = 2_400


@dataclass(frozen=True, slots=True, eq=False)
class StaticPolicy:
    """A policy of the bundle that no template stands for: a guard, an override's permit, a reason or a rule."""

    id: str
    policy: Policy
    reason: Reason
    rule: bool
    reads_time: bool
    reads_status: bool


class PolicySlice(msgspec.Struct, frozen=True, eq=False):
    """The policies for one check.

    `static`: those that are no item's. `rules`: the users' own among these. `reads_time`, `reads_status`: whether
    one reads the time, or the status of the feature.
    """

    group: PolicyGroup
    static: tuple[StaticPolicy, ...]
    rules: tuple[StaticPolicy, ...]
    reads_time: bool
    reads_status: bool


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The static policies that a feature's checks by one type of principal can match: always, and depending on it.

    `always` is a slice still without any item's policies. `depending` are found by the entity that their scope names,
    with their place, so that a rule for each of many customers costs the others nothing.
    """

    always: PolicySlice
    depending: dict[Uid, list[tuple[int, StaticPolicy]]]


def feature_ancestors(feature: Feature) -> frozenset[Uid]:
    """Return the entities that a feature is in."""
    return frozenset(Uid("Tag", tag) for tag in feature.tags)


class PolicySlices:
    """Makes and keeps the slices of one bundle."""

    def __init__(self, bundle: BundleSource, entries: int, size: int) -> None:
        """Parse the bundle's guards, override permits, reasons, templates and rules, all of them small.

        Raises `BundleError` if one of them is missing or does not parse.
        """
        self.static = [
            *_builtin(bundle, "policies/guards.cedar"),
            *_builtin(bundle, "policies/overrides.cedar"),
            *_rules(bundle),
        ]
        self._templates = {static.id: static for static in _builtin(bundle, "policies/templates.cedar")}
        self._sizes = (entries, size)
        self._prepare(_builtin(bundle, "policies/reasons.cedar"))

    def _prepare(self, reasons: list[StaticPolicy]) -> None:
        """Build what depends on the policies, with empty caches."""
        entries, size = self._sizes
        self._asked_after = reasons
        self.by_id = {static.id: static for static in (*self.static, *reasons)}
        self._reasons = {
            kind: PolicyGroup.of((it.id, it.policy) for it in reasons if _acts(it.policy.action, action))
            for kind, action in ACTIONS.items()
        }
        self._acting = {
            action: [(place, it) for place, it in enumerate(self.static) if _acts(it.policy.action, action)]
            for action in ACTIONS.values()
        }
        self._candidates: dict[tuple[str, str], _Candidates] = {}
        self._unlinked: BoundedCache[tuple[str, tuple[StaticPolicy, ...]], PolicySlice] = BoundedCache(
            entries, _UNLINKED_BYTES
        )
        self.cache: BoundedCache[tuple[str, tuple[str, ...], PolicySlice], PolicySlice] = BoundedCache(entries, size)

    def otherwise(self, changed: Mapping[str, Policy | None]) -> PolicySlices:
        """These slices with some policies, by their ids, put in place of others; `None` leaves one out.

        Nothing is parsed again. A policy that stands in place of another goes by the other's id.
        """
        other = copy(self)
        vars(other).pop("reads_tags", None)
        other.static = _otherwise(self.static, changed)
        other._prepare(_otherwise(self._asked_after, changed))  # noqa: SLF001 - of its own kind
        return other

    @cached_property
    def reads_tags(self) -> bool:
        """Whether a policy can read the tags of an entity, such as what an item gives."""
        return any(static.policy.reads_tags() for static in self.static)

    def template(self, action: str) -> StaticPolicy:
        """Return the template for the values of items, for the checks of an action."""
        return self._templates[action]

    def reasons(self, feature: Feature) -> PolicyGroup:
        """Return the permit-only set that explains why nothing permitted a check of this feature."""
        return self._reasons[feature.type]

    def slice(
        self, feature: Feature, givers: tuple[str, ...], principal: Uid, held: Sequence[str], parents: Sequence[Uid]
    ) -> PolicySlice:
        """The slice for a check.

        `givers`: the item versions held that say something of the feature. `held`: all item versions held.
        `parents`: what the principal is in beside items (a user's customer or subscription).
        """
        return self.linked(self.unlinked(feature, principal, held, parents), feature, givers)

    def unlinked(self, feature: Feature, principal: Uid, held: Sequence[str], parents: Sequence[Uid]) -> PolicySlice:
        """The slice for a check, but for the policies of items. The same for many checks, and then the same object."""
        candidates = self._candidates.get((feature.id, principal.type))
        if candidates is None:
            candidates = self._candidates_for(feature, principal.type)
        if candidates.depending:
            more = _matching(candidates.depending, principal, {*parents, *item_ancestors(held)})
            if more:
                return self._make(ACTIONS[feature.type], candidates.always.static + more)
        return candidates.always

    def common(self, feature: Feature, principal_type: str) -> PolicySlice | None:
        """The slice, but for the policies of items, of every check by a type of principal; `None` if they differ."""
        candidates = self._candidates.get((feature.id, principal_type)) or self._candidates_for(feature, principal_type)
        return None if candidates.depending else candidates.always

    def linked(self, unlinked: PolicySlice, feature: Feature, givers: tuple[str, ...]) -> PolicySlice:
        """Add the policies of item versions to a slice without them."""
        if not givers:
            return unlinked
        key = (feature.id, givers, unlinked)
        found = self.cache.get(key)
        if found is None:
            found = _link(unlinked, ACTIONS[feature.type], feature.id, givers)
            self.cache.offer(key, found, _size(unlinked.static) + _LINK_BYTES * len(givers))
        return found

    def deciding(self, unlinked: PolicySlice, feature: Feature) -> list[Policy]:
        """Every policy that Cedar may evaluate for a check with this slice: links as their template, and reasons."""
        action = ACTIONS[feature.type]
        template = self._templates[action]
        reasons = [static for static in self._asked_after if _acts(static.policy.action, action)]
        return [static.policy for static in (*unlinked.static, template, *reasons)]

    def _candidates_for(self, feature: Feature, principal_type: str) -> _Candidates:
        action = ACTIONS[feature.type]
        resource = Uid("Feature", feature.id)
        tags = feature_ancestors(feature)
        always: list[StaticPolicy] = []
        depending: dict[Uid, list[tuple[int, StaticPolicy]]] = {}
        for place, static in self._acting[action]:
            policy = static.policy
            if not policy.resource.can_match(resource, tags):
                continue
            scope = policy.principal
            if scope.op is ScopeOp.ANY or (
                scope.op is ScopeOp.IS and not scope.entities and scope.entity_type == principal_type
            ):
                always.append(static)
            elif scope.op is not ScopeOp.IS or scope.entity_type == principal_type:
                for uid in scope.entities:
                    depending.setdefault(uid, []).append((place, static))
        candidates = _Candidates(self._make(action, tuple(always)), depending)
        self._candidates[feature.id, principal_type] = candidates
        return candidates

    def _make(self, action: str, chosen: tuple[StaticPolicy, ...]) -> PolicySlice:
        found = self._unlinked.get((action, chosen))
        if found is None:
            template = self._templates[action]
            group = PolicyGroup.of([(it.id, it.policy) for it in chosen] + [(template.id, template.policy)])
            rules = tuple(it for it in chosen if it.rule)
            found = PolicySlice(
                group, chosen, rules, any(it.reads_time for it in rules), any(it.reads_status for it in rules)
            )
            self._unlinked.put((action, chosen), found, _size(chosen))
        return found


def _matching(
    depending: dict[Uid, list[tuple[int, StaticPolicy]]], principal: Uid, ancestors: set[Uid]
) -> tuple[StaticPolicy, ...]:
    """Return those whose scope a principal with these ancestors satisfies, in the order of the bundle."""
    found = [it for uid in {principal, *ancestors} for it in depending.get(uid, ())]
    found.sort(key=itemgetter(0))
    return tuple(it for _, it in found if it.policy.principal.can_match(principal, ancestors))


def _size(static: tuple[StaticPolicy, ...]) -> int:
    """Estimate the bytes that Cedar needs for a set of these policies and a template, as measured."""
    return _POLICY_BYTES * (len(static) + 1)


def _link(unlinked: PolicySlice, action: str, feature: str, givers: tuple[str, ...]) -> PolicySlice:
    links = [TemplateLink(action, policy_id(ref, feature), ref, feature) for ref in givers]
    return PolicySlice(
        unlinked.group.linked(links), unlinked.static, unlinked.rules, unlinked.reads_time, unlinked.reads_status
    )


def item_ancestors(held: Collection[str]) -> set[Uid]:
    """Return the items that a holder of these versions is in: each version and, without its number, its item."""
    return {Uid("Item", ref) for ref in held} | {Uid("Item", ref.rpartition("@")[0]) for ref in held}


def _acts(scope: Scope, action: str) -> bool:
    return scope.can_match(Uid("Action", action), (ACCESS,))


def _builtin(bundle: BundleSource, path: str) -> list[StaticPolicy]:
    found: list[StaticPolicy] = []
    try:
        policies = parsed(bundle.text(path))
    except ValueError as error:
        raise BundleError(path, str(error)) from None
    for policy in policies:
        reason = Reason(policy.annotations["reason"]) if "reason" in policy.annotations else Reason.GRANTED
        found.append(
            StaticPolicy(
                policy.id,
                policy,
                reason,
                rule=False,
                reads_time=_reads_time(policy),
                reads_status=_reads_status(policy),
            )
        )
    if path.endswith("/templates.cedar") and {it.id for it in found} != set(ACTIONS.values()):
        raise BundleError(path, "does not hold one template for each action")
    return found


def _rules(bundle: BundleSource) -> list[StaticPolicy]:
    found: list[StaticPolicy] = []
    for path in bundle.paths("policies/rules/"):
        file = path.removeprefix("policies/rules/").removesuffix(".cedar")
        found.extend(
            StaticPolicy(
                rule_id(file, policy.id),
                policy,
                Reason.RULE_DENIED,
                rule=True,
                reads_time=_reads_time(policy),
                reads_status=_reads_status(policy),
            )
            for policy in _parse(bundle, path)
        )
    return found


def _otherwise(statics: list[StaticPolicy], changed: Mapping[str, Policy | None]) -> list[StaticPolicy]:
    found: list[StaticPolicy] = []
    for static in statics:
        policy = changed.get(static.id, static.policy)
        if policy is static.policy:
            found.append(static)
        elif policy is not None:
            found.append(
                replace(static, policy=policy, reads_time=_reads_time(policy), reads_status=_reads_status(policy))
            )
    return found


def _reads_time(policy: Policy) -> bool:
    return policy.reads_context(TIME_ATTRIBUTES)


def _reads_status(policy: Policy) -> bool:
    return policy.reads_context(STATUS_ATTRIBUTES)


def _parse(bundle: BundleSource, path: str) -> list[Policy]:
    try:
        return parse_policies(bundle.text(path))
    except ValueError as error:
        raise BundleError(path, str(error)) from None


@lru_cache(maxsize=_KEPT_TEXTS)
def parsed(text: str) -> tuple[Policy, ...]:
    """Parse a text that is usually the same in the next bundle: the policies written by hand."""
    return tuple(parse_policies(text))
