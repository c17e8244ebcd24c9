"""The targets of one catalog with its rules, or of one role table, and each as it is mutated.

Suites that share a catalog share its targets. A catalog inside a test file has none: coverage is of catalogs, rules and
role tables in files of their own, and of the shipped policies.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from tiergate.cedar import PolicyGroup, builtin_text, parse_policies, split_policies
from tiergate.compiler.role_table import RoleTable
from tiergate.model import AddedAmount, Amount
from tiergate.model.value_display import display_value
from tiergate.naming import policy_id, rule_policies_path
from tiergate.permissions import RolePolicies
from tiergate.policytest.coverage.targets import (
    Aspect,
    Target,
    TargetKind,
    level_target,
    list_entitlements,
    mutate_policy,
    mutate_value,
    policy_targets,
    shipped_policy_targets,
    value_aspects,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.cedar import Policy
    from tiergate.engine.slices import PolicySlices, StaticPolicy
    from tiergate.model import Feature, Value
    from tiergate.policytest.environments import EntitlementEnvironment, RoleEnvironment
    from tiergate.policytest.suites import Place

_SHIPPED = {
    "guard": TargetKind.GUARD,
    "override": TargetKind.OVERRIDE,
    "grant": TargetKind.OVERRIDE,
    "reason": TargetKind.REASON,
}


class TargetSource(NamedTuple):
    """The source of a target, for reports.

    `file`: empty for what is shipped; `place`: the exact position, if known. `says`: an entitlement's value as text, a
    rule's description. `item`: the version that grants an entitlement. `feature`: of an entitlement or a level.
    `is_shipped`: it is part of Tiergate.
    """

    file: str = ""
    place: Place | None = None
    says: str = ""
    item: str = ""
    feature: Feature | None = None
    is_shipped: bool = False


class CatalogTargets:
    """The targets of a compiled catalog, its rules, and the shipped policies that it can make decide."""

    def __init__(self, environment: EntitlementEnvironment) -> None:
        bundle = environment.bundle
        self.index = bundle.index
        self._bundle = bundle
        self._positions = environment.compiled.loaded.positions
        self._is_inline = environment.compiled.is_inline
        self._rules_folder = environment.compiled.rules_folder
        self._slices = environment.engine.slices
        self._variants: dict[Target, PolicySlices] = {}
        hashes = bundle.hashes()
        self._key = _digest(hashes[path] for path in bundle.paths("catalog.json") + bundle.paths("entities/items/"))
        self._most: dict[str, int] = {}
        self.targets: dict[Target, TargetSource] = {}
        self.levels: dict[Target, list[Target]] = {}
        self._policies: dict[str, list[Target]] = {}
        self._add_entitlements()
        for static in self._slices.by_id.values():
            for target in self._policy_targets(static, hashes):
                self.targets[target] = self._policy_subject(static)
                self._policies.setdefault(static.id, []).append(target)

    def _add_entitlements(self) -> None:
        for entitlement in list_entitlements(self.index, self._bundle):
            if isinstance(entitlement.value, Amount | AddedAmount):
                self._most[entitlement.feature.id] = max(
                    self._most.get(entitlement.feature.id, 0), entitlement.value.units
                )
            place = self._place(entitlement.ref, entitlement.feature)
            if self._is_inline:
                continue
            file, value = place[0] if place else "", display_value(entitlement.value, entitlement.feature)
            for aspect in value_aspects(entitlement.value, entitlement.feature):
                target = Target(self._key, TargetKind.ENTITLEMENT, entitlement.id, aspect)
                self.targets[target] = TargetSource(file, place, value, entitlement.ref, entitlement.feature)
            level = level_target(self._key, entitlement.feature, entitlement.value)
            if level is not None:
                self.levels.setdefault(level, []).append(
                    Target(self._key, TargetKind.ENTITLEMENT, entitlement.id, Aspect.DECIDES)
                )
        for level in self.levels:
            name, _, label = level.id.partition("=")
            place = self._positions.get(("feature", name))
            self.targets[level] = TargetSource(
                place[0] if place else "", place, label, feature=self.index.features[name]
            )

    def _place(self, ref: str, feature: Feature) -> Place | None:
        item, _, version = ref.partition("/")[2].rpartition("@")
        key: tuple[str | int, ...] = ("item", item, int(version), feature.id)
        return next((self._positions[key[:end]] for end in (4, 3, 2) if key[:end] in self._positions), None)

    def _policy_targets(self, static: StaticPolicy, hashes: dict[str, str]) -> Iterator[Target]:
        if static.rule:
            file = static.id.split("/")[1]
            return policy_targets(hashes[rule_policies_path(file)], TargetKind.RULE, static.policy, static.id)
        kind = _SHIPPED[static.id.partition("/")[0]]
        return shipped_policy_targets(kind, static.policy, static.id, self.index.features.values())

    def _policy_subject(self, static: StaticPolicy) -> TargetSource:
        if not static.rule:
            return TargetSource(is_shipped=True)
        file = static.id.split("/")[1]
        path = f"{self._rules_folder}/{file}.cedar" if self._rules_folder else f"{file}.cedar"
        line = _line(self._bundle.text(rule_policies_path(file)), static.policy)
        return TargetSource(path, (path, line, 1), static.policy.annotations.get("description", ""))

    def entitlement_targets(self, ref: str, feature: Feature) -> Iterator[tuple[Target, Value | None]]:
        """Yield the targets of one entitlement, each with its mutated value."""
        value = self._bundle.definition(ref)[feature.id]
        for aspect in value_aspects(value, feature):
            target = Target(self._key, TargetKind.ENTITLEMENT, policy_id(ref, feature.id), aspect)
            if target in self.targets:
                yield target, mutate_value(aspect, value, feature, self._most.get(feature.id, 0))

    def policy_targets(self, name: str) -> list[Target]:
        """Return the targets of a guard, an override's permit, a reason or a rule."""
        return self._policies.get(name, [])

    def effect(self, name: str) -> str:
        """Return `permit` or `forbid`."""
        return self._slices.by_id[name].policy.effect

    @property
    def reasons(self) -> list[str]:
        """The policies that give the reason after a denial that nothing forbade."""
        return [name for name in self._policies if name.startswith("reason/")]

    def slices(self, target: Target) -> PolicySlices:
        """Return the policies with a target mutated."""
        if target not in self._variants:
            policy = self._slices.by_id[target.id].policy
            self._variants[target] = self._slices.otherwise({target.id: mutate_policy(target, policy)})
        return self._variants[target]

    def close(self, target: Target) -> None:
        """Drop the mutation of a covered target."""
        self._variants.pop(target, None)


class RoleTargets:
    """The targets of a role table: its rows, and the guards of narrowed keys."""

    def __init__(self, environment: RoleEnvironment) -> None:
        self._text = environment.roles.text
        key = _digest([self._text])
        self._rows = {value.id: value for value in parse_policies(self._text)}
        self._scopes = {entry.id: entry for entry in parse_policies(builtin_text("scopes"))}
        self._roles = environment.roles.roles
        self._variants: dict[Target, RolePolicies] = {}
        self.levels: dict[Target, list[Target]] = {}
        self.targets: dict[Target, TargetSource] = {}
        for name, policy in self._rows.items():
            place = (environment.file, _line(self._text, policy), 1) if environment.file else None
            for target in policy_targets(key, TargetKind.ROLE, policy, name):
                self.targets[target] = TargetSource(environment.file, place, is_shipped=not environment.file)
        for name, policy in self._scopes.items():
            for target in policy_targets("", TargetKind.SCOPE, policy, name):
                self.targets[target] = TargetSource(is_shipped=True)

    def otherwise(self, target: Target) -> RolePolicies:
        """Return the table with a target mutated."""
        if target not in self._variants:
            policies = self._rows | self._scopes
            changed = mutate_policy(target, policies[target.id])
            kept = [(name, changed if name == target.id else policy) for name, policy in policies.items()]
            group = PolicyGroup.of((name, policy) for name, policy in kept if policy is not None)
            self._variants[target] = RolePolicies(RoleTable(self._text, group, self._roles, tuple(self._rows)))
        return self._variants[target]

    def close(self, target: Target) -> None:
        """Drop the mutation of a covered target."""
        self._variants.pop(target, None)


def _line(text: str, policy: Policy) -> int:
    """Return the line in which a policy starts."""
    return split_policies(text)[policy.place][0]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
