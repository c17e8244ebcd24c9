"""Grounds: the units of one catalog with its rules, or of one table of roles, and each as it would be otherwise.

Suites that share a catalog share its ground. What is written in a test file itself is there for the tests, and none of
it is a unit: coverage is of the catalogs, rules and tables that live elsewhere, and of the policies that are shipped.
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

_SHIPPED = {"guard": TargetKind.GUARD, "override": TargetKind.OVERRIDE, "reason": TargetKind.REASON}


class TargetSource(NamedTuple):
    """What a unit is about, for reports.

    `file`: where it stands, empty for what is shipped; `place`: exactly, where that is known. `says`: an entitlement's
    value as a person reads it, a rule's description. `item`: the version that gives an entitlement. `feature`: of an
    entitlement or a level. `is_shipped`: it is Tiergate's own, and none of the author's.
    """

    file: str = ""
    place: Place | None = None
    says: str = ""
    item: str = ""
    feature: Feature | None = None
    is_shipped: bool = False


class CatalogTargets:
    """The units of a compiled catalog, of its rules, and of the shipped policies as far as it can make them decide."""

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
        """The units of one entitlement, each with the value that it would have otherwise."""
        value = self._bundle.definition(ref)[feature.id]
        for aspect in value_aspects(value, feature):
            target = Target(self._key, TargetKind.ENTITLEMENT, policy_id(ref, feature.id), aspect)
            if target in self.targets:
                yield target, mutate_value(aspect, value, feature, self._most.get(feature.id, 0))

    def policy_targets(self, name: str) -> list[Target]:
        """The units of a guard, an override's permit, a reason or a rule."""
        return self._policies.get(name, [])

    def effect(self, name: str) -> str:
        """`permit` or `forbid`."""
        return self._slices.by_id[name].policy.effect

    @property
    def reasons(self) -> list[str]:
        """The policies that are asked for the reason after a denial that nothing forbade."""
        return [name for name in self._policies if name.startswith("reason/")]

    def slices(self, target: Target) -> PolicySlices:
        """The policies as they would be otherwise."""
        if target not in self._variants:
            policy = self._slices.by_id[target.id].policy
            self._variants[target] = self._slices.otherwise({target.id: mutate_policy(target, policy)})
        return self._variants[target]

    def close(self, target: Target) -> None:
        """Forget how a unit would be otherwise: it is covered."""
        self._variants.pop(target, None)


class RoleTargets:
    """The units of a table of roles: its rows, and the guards of what keys are narrowed to."""

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
        """The table as it would be otherwise."""
        if target not in self._variants:
            policies = self._rows | self._scopes
            changed = mutate_policy(target, policies[target.id])
            kept = [(name, changed if name == target.id else policy) for name, policy in policies.items()]
            group = PolicyGroup.of((name, policy) for name, policy in kept if policy is not None)
            self._variants[target] = RolePolicies(RoleTable(self._text, group, self._roles, tuple(self._rows)))
        return self._variants[target]

    def close(self, target: Target) -> None:
        """Forget how a unit would be otherwise: it is covered."""
        self._variants.pop(target, None)


def _line(text: str, policy: Policy) -> int:
    """The line in which a policy begins."""
    return split_policies(text)[policy.place][0]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
