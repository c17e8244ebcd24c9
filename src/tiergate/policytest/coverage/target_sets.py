"""The targets of one catalog with its rules, or of one role table, and each as it is mutated.

Suites that share a catalog share its targets. A catalog inside a test file has none: coverage is of catalogs, rules and
role tables in files of their own, and of the shipped policies.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from tiergate.cedar import PolicyGroup, Schema, builtin_text, parse_policies, split_policies
from tiergate.compiler.role_table import RoleTable
from tiergate.model import AddedAmount, Amount
from tiergate.model.value_display import display_value
from tiergate.naming import item_ref, policy_id, rule_policies_path, version_ref
from tiergate.permissions import RolePolicies
from tiergate.policytest.coverage.catalog_mutations import feature_mutations, item_mutations
from tiergate.policytest.coverage.mutated_engines import with_feature, with_item
from tiergate.policytest.coverage.rule_effects import RuleEffects
from tiergate.policytest.coverage.rule_mutations import RuleMutation, rule_mutations
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
    from tiergate.engine import Evaluator
    from tiergate.engine.slices import PolicySlices, StaticPolicy
    from tiergate.model import Feature, IndexedItem, Value
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
        self._schema = Schema(bundle.text("schema.cedarschema"))
        self._variants: dict[Target, PolicySlices] = {}
        self._effects: RuleEffects | None = None
        hashes = bundle.hashes()
        self._key = _digest(hashes[path] for path in bundle.paths("catalog.json") + bundle.paths("entities/items/"))
        self._most: dict[str, int] = {}
        self.targets: dict[Target, TargetSource] = {}
        self.levels: dict[Target, list[Target]] = {}
        self._policies: dict[str, list[Target]] = {}
        self._features: dict[str, dict[Target, Feature]] = {}
        self._items: dict[str, dict[Target, IndexedItem]] = {}
        self._parts: dict[str, dict[Target, RuleMutation]] = {}
        self._scoped: list[Target] = []
        self._engines: dict[tuple[str, Target], Evaluator] = {}
        self._add_entitlements()
        if not self._is_inline:
            self._add_features()
            self._add_items()
        for static in self._slices.by_id.values():
            for target in self._policy_targets(static, hashes):
                self.targets[target] = self._policy_subject(static)
                self._policies.setdefault(static.id, []).append(target)
            if static.rule:
                self._add_parts(static, hashes)

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

    def _add_features(self) -> None:
        given: dict[str, list[Value]] = {}
        for entitlement in list_entitlements(self.index, self._bundle):
            given.setdefault(entitlement.feature.id, []).append(entitlement.value)
        rules = [static.policy for static in self._slices.static if static.rule]
        tags = {reference.uid.id for rule in rules for reference in rule.references() if reference.uid.type == "Tag"}
        for feature in self.index.features.values():
            place = self._positions.get(("feature", feature.id))
            mutations = feature_mutations(feature, given.get(feature.id, ()), self.index.features, tags)
            for part, aspect, says, mutated in mutations:
                target = Target(self._key, TargetKind.FEATURE, feature.id, aspect, part=part)
                self._features.setdefault(feature.id, {})[target] = mutated
                self.targets[target] = TargetSource(place[0] if place else "", place, says, feature=feature)

    def _add_items(self) -> None:
        for item in self.index.items.values():
            refs = [version_ref(item.kind, item.id, version) for version in item.versions]
            gives = any(self._bundle.definition(ref) for ref in refs)
            place = self._positions.get(("item", item.id))
            for part, aspect, says, mutated in item_mutations(item, self.index, gives=gives):
                target = Target(self._key, TargetKind.ITEM, item_ref(item.kind, item.id), aspect, part=part)
                self._items.setdefault(item.id, {})[target] = mutated
                self.targets[target] = TargetSource(place[0] if place else "", place, says)

    def _add_parts(self, static: StaticPolicy, hashes: dict[str, str]) -> None:
        target_set = hashes[rule_policies_path(static.id.split("/")[1])]
        for mutation in rule_mutations(static.policy, self._schema):
            target = Target(target_set, TargetKind.RULE, static.id, Aspect.PART, part=mutation.part)
            self._parts.setdefault(static.id, {})[target] = mutation
            self.targets[target] = self._policy_subject(static)
            if mutation.is_scope:
                self._scoped.append(target)

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

    def part_targets(self, names: Iterable[str]) -> Iterator[Target]:
        """Yield the parts of rules whose scope matches a check, and the parts of scopes that could match it."""
        for name in names:
            yield from (target for target, it in self._parts.get(name, {}).items() if not it.is_scope)
        yield from self._scoped

    def catalog_targets(self, features: Iterable[str], items: Iterable[str]) -> Iterator[Target]:
        """Yield the targets of features and items."""
        for feature in features:
            yield from self._features.get(feature, ())
        for item in items:
            yield from self._items.get(item, ())

    def mutated_engine(self, environment: EntitlementEnvironment, target: Target) -> Evaluator:
        """Return the engine of a suite with a feature or an item mutated."""
        engine = self._engines.get((environment.key, target))
        if engine is None:
            if target.kind is TargetKind.FEATURE:
                engine = with_feature(environment.engine, self._features[target.id][target])
            else:
                item = self._items[target.id.partition("/")[2]][target]
                engine = with_item(environment.engine, environment.subjects, item)
            self._engines[environment.key, target] = engine
        return engine

    def has_effect(self, target: Target) -> bool:
        """Return whether some check might show a target. Proved for the parts of rules; all others were chosen so."""
        if target.aspect is not Aspect.PART:
            return True
        if self._effects is None:
            self._effects = RuleEffects(self._bundle, self._slices)
        mutated = self._parts[target.id][target].policy
        return self._effects.has_effect(self._slices.by_id[target.id].policy, mutated)

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
            part = self._parts.get(target.id, {}).get(target)
            mutated = mutate_policy(target, policy) if part is None else part.policy
            self._variants[target] = self._slices.otherwise({target.id: mutated})
        return self._variants[target]

    def close(self, target: Target) -> None:
        """Drop the mutation of a covered target."""
        self._variants.pop(target, None)
        for key in [key for key in self._engines if key[1] == target]:
            del self._engines[key]


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

    @staticmethod
    def has_effect(_: Target) -> bool:
        """Return whether some query might show a target."""
        return True


def _line(text: str, policy: Policy) -> int:
    """Return the line in which a policy starts."""
    return split_policies(text)[policy.place][0]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
