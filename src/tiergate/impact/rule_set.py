"""The user-defined rules, entities and schema of a bundle, compared by meaning.

Ids, files, order and layout do not count. Two policies are equal if Cedar parses the same effect, scope and conditions.
Rules that are equivalent but parse differently count as changed, never the other way round.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tiergate.cedar import BUILTIN_POLICIES, Policy, Uid, parse_policies
from tiergate.engine.slices import ACCESS, feature_ancestors
from tiergate.errors import BundleError
from tiergate.model.features import ACTIONS
from tiergate.naming import rule_id

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiergate.engine import BundleSource
    from tiergate.model import Feature

_RULES: Final = "policies/rules/"
_ENTITIES: Final = "entities/rules/"
_LAYOUT: Final = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|\s+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """A user-defined rule. `meaning`: equal for rules that Cedar parses alike."""

    id: str
    policy: Policy
    meaning: str

    def concerns(self, feature: Feature) -> bool:
        """Return whether its scope can match a check of a feature, for any principal."""
        return policy_concerns(self.policy, feature)

    def named(self, kind: str) -> set[str]:
        """Return the ids of the entities of a type that it names, such as `plan/pro` and `plan/pro@7` of `Item`."""
        return {reference.uid.id for reference in self.policy.references() if reference.uid.type == kind}


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of a bundle, their entities and schema, and the built-in policies."""

    rules: tuple[Rule, ...]
    own: tuple[str, ...]
    """The user-defined entities, each in canonical form, sorted."""
    schema: str
    builtin: tuple[str, ...]

    @classmethod
    def of(cls, bundle: BundleSource) -> RuleSet:
        """Read the Cedar of a bundle, without the permits of items."""
        rules = tuple(
            Rule(rule_id(path.removeprefix(_RULES).removesuffix(".cedar"), policy.id), policy, _meaning(policy))
            for path in bundle.paths(_RULES)
            for policy in _parse(bundle, path)
        )
        entities = [load for path in bundle.paths(_ENTITIES) for load in json.loads(bundle.text(path))]
        builtin = [
            f"{policy.annotations.get('reason', '')} {_meaning(policy)}"
            for name in BUILTIN_POLICIES
            for policy in _parse(bundle, f"policies/{name}.cedar")
        ]
        return cls(
            rules,
            tuple(sorted(json.dumps(entity, sort_keys=True) for entity in entities)),
            _schema(bundle.text("schema.cedarschema")),
            tuple(sorted(builtin)),
        )

    def names(self, kind: str, ids: Collection[str]) -> bool:
        """Return whether a user-defined entity may refer to an entity of a type, if there are any such ids."""
        return bool(ids) and any(f'"{kind}"' in entity for entity in self.own)


def policy_concerns(policy: Policy, feature: Feature) -> bool:
    """Return whether the scope of a policy can match a check of a feature, for any principal."""
    return policy.action.can_match(Uid("Action", ACTIONS[feature.type]), (ACCESS,)) and (
        policy.resource.can_match(Uid("Feature", feature.id), feature_ancestors(feature))
    )


def item_id(ref: str) -> str:
    """Return the item's id in `plan/pro` or `plan/pro@7`."""
    return ref.partition("/")[2].partition("@")[0]


def fields_read_by_rules(feature: Feature | None) -> object:
    """Return the fields of a feature that rules can read, in comparable form."""
    return None if feature is None else (feature.type, feature.unit, feature.scale, sorted(feature.tags))


def changed_rules(baseline: RuleSet, candidate: RuleSet) -> tuple[list[Rule], list[Rule]]:
    """Return the rules that only the old and only the new side has, in the order of their bundles."""
    had, has = (Counter(rule.meaning for rule in side.rules) for side in (baseline, candidate))
    gone, come = had - has, has - had
    return _picked(baseline, gone), _picked(candidate, come)


def _picked(side: RuleSet, wanted: Counter[str]) -> list[Rule]:
    result = []
    for rule in side.rules:
        if wanted[rule.meaning]:
            wanted[rule.meaning] -= 1
            result.append(rule)
    return result


def _meaning(policy: Policy) -> str:
    parts: dict[str, Any] = {key: policy.json[key] for key in ("effect", "principal", "action", "resource")}
    entities = parts["action"].get("entities")
    if entities:
        parts["action"] = parts["action"] | {"entities": sorted(entities, key=json.dumps)}
    return json.dumps(parts | {"conditions": policy.json["conditions"]}, sort_keys=True)


def _schema(text: str) -> str:
    """Return a schema without comments and layout, its declarations sorted unless there are namespaces."""
    plain = _LAYOUT.sub(lambda match: match[1] or " ", text)
    if "namespace" in plain:
        return " ".join(plain.split())
    return ";".join(sorted(" ".join(part.split()) for part in plain.split(";")))


def _parse(bundle: BundleSource, path: str) -> list[Policy]:
    try:
        return parse_policies(bundle.text(path))
    except ValueError as error:
        raise BundleError(path, str(error)) from None
