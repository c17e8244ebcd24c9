"""Findings about rollouts and versions."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tiergate.catalog.lint.findings import Finding
from tiergate.catalog.lint.granted_amounts import granted_amount
from tiergate.model import AudienceType, FeatureStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Catalog, Feature, Item


def lint_rollouts(catalog: Catalog) -> Iterator[Finding]:
    """Check versions and rollouts that do not reach their likely audience."""
    for item in catalog.items.values():
        yield from _rollouts(item)
        yield from _archived(item, catalog.features)


def _rollouts(item: Item) -> Iterator[Finding]:
    key = ("item", item.id)
    if not item.rollouts:
        yield Finding(
            key,
            "no-rollout-for-everybody",
            f"no version of `{item.id}` is rolled out: only pinned subscriptions get one",
        )
        return
    if all(rollout.audience.type is not AudienceType.EVERYBODY for rollout in item.rollouts):
        message = f"no rollout of `{item.id}` is for everybody: customers outside its audiences get nothing"
        yield Finding(key, "no-rollout-for-everybody", message)
    highest = item.versions[-1].version
    if all(rollout.version != highest for rollout in item.rollouts):
        message = f"no rollout names version {highest} of `{item.id}`, its highest"
        yield Finding(("item", item.id, highest), "version-not-rolled-out", message)
    for place, rollout in enumerate(item.rollouts):
        if rollout.audience.type is AudienceType.SHARE and not rollout.audience.share:
            message = f"the rollout of version {rollout.version} of `{item.id}` is for 0 percent"
            yield Finding(key, "share-of-nobody", message)
        for later in item.rollouts[place + 1 :]:
            if later.audience.type is AudienceType.EVERYBODY and later.start <= rollout.start:
                message = (
                    f"rollout {place + 1} of `{item.id}`, of version {rollout.version}, never decides: "
                    f"a later rollout, of version {later.version}, is for everybody and starts no later"
                )
                yield Finding(key, "dead-rollout", message)
                break


def _archived(item: Item, features: dict[str, Feature]) -> Iterator[Finding]:
    """Check new entitlements of archived features; existing ones stay."""
    for older, newer in pairwise(item.versions):
        for id_, value in newer.entitlements.items():
            feature = features[id_]
            is_new = feature.status is FeatureStatus.ARCHIVED and granted_amount(value, feature) is not None
            if is_new and granted_amount(older.entitlements.get(id_), feature) is None:
                message = f"`{id_}` is archived, but version {newer.version} of `{item.id}` newly gives it"
                yield Finding(("item", item.id, newer.version, id_), "archived-feature-given", message)
