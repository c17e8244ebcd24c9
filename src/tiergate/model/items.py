"""Items, their definitions and rollouts (design, section 1)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tiergate.model.instants import BEGINNING, Instant
from tiergate.model.service_levels import ItemServiceLevel
from tiergate.model.values import Value

SHARE_STEPS = 10_000
"""A share counts hundredths of a percent."""


class ItemKind(StrEnum):
    """The kind of a catalog item."""

    PLAN = "plan"
    ADDON = "addon"
    CHARGE = "charge"


class ItemStatus(StrEnum):
    """The lifecycle status of an item: not given yet; sold; kept by those who have it, not sold any more."""

    DRAFT = "draft"
    ACTIVE = "active"
    ARCHIVED = "archived"


class AudienceType(StrEnum):
    """The type of a rollout's audience."""

    EVERYBODY = "everybody"
    NEW = "new"
    SHARE = "share"
    TAG = "tag"


class Audience(msgspec.Struct, frozen=True, omit_defaults=True):
    """All customers; those whose item was added since the rollout's `start`; a share, in 1/10,000; or a tag."""

    type: AudienceType = AudienceType.EVERYBODY
    share: int = 0
    tag: str = ""


class Rollout(msgspec.Struct, frozen=True, omit_defaults=True):
    """From `start` on, `audience` gets `version`. The last active rollout that matches a customer decides."""

    version: int
    start: Instant = BEGINNING
    audience: Audience = Audience()


class Definition(msgspec.Struct, frozen=True):
    """The entitlements of one numbered version of an item: feature id → value, in the order of the feature ids."""

    version: int
    entitlements: dict[str, Value]


class ItemHeader(msgspec.Struct, frozen=True, kw_only=True):
    """All of an item but its versions.

    `rollouts` are ordered. `available_for`: the plans with which an add-on or charge can be bought (empty: any).
    `depends_on`: items that a subscription must have with this one. `excludes`: items that a subscription cannot have
    with this one. `private_to`: the only customer who may have it (empty: any).
    """

    id: str
    kind: ItemKind
    name: str = ""
    description: str = ""
    rollouts: tuple[Rollout, ...]
    available_for: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    private_to: str = ""
    status: ItemStatus = ItemStatus.ACTIVE


class Item(ItemHeader, frozen=True, kw_only=True):
    """A catalog item with its versions, lowest first.

    `metadata` is for people and other systems. `service_levels`: feature id → what the item promises of it, in place of
    what the feature promises. No bundle has either.
    """

    versions: tuple[Definition, ...]
    metadata: dict[str, str] = {}
    service_levels: dict[str, ItemServiceLevel] = {}
