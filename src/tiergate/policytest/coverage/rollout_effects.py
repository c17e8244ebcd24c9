"""Whether two lists of rollouts of an item give anybody another version, and whom: over all audiences and instants."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, count, pairwise, product
from typing import TYPE_CHECKING, NamedTuple

from tiergate.engine.active_items import ValidityWindow, rolled_out_version, share_bucket
from tiergate.model import (
    BEGINNING,
    AudienceType,
    Customer,
    Instant,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
)
from tiergate.model.items import SHARE_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.model import IndexedItem, Rollout


class RolloutHolder(NamedTuple):
    """A holder of an item, at an instant, to whom two lists of rollouts give different versions."""

    customer: Customer
    added: Instant | None
    now: Instant
    versions: tuple[int | None, int | None]


def differing_versions(item: IndexedItem, other: IndexedItem) -> RolloutHolder | None:
    """Return a holder to whom the rollouts of an item and of its other form give different versions; `None` if none."""
    rollouts = (*item.rollouts, *other.rollouts)
    starts = {rollout.start for rollout in rollouts}
    instants = sorted({BEGINNING, *(start + step for start in starts if start != BEGINNING for step in (-1, 0))})
    added = [None, *(it for it in instants if it != BEGINNING)]
    for when, customer in product(added, _customers(item.id, rollouts)):
        for now in instants:
            if when is not None and now < when:
                continue
            versions = _version(item, customer, when, now), _version(other, customer, when, now)
            if versions[0] != versions[1]:
                return RolloutHolder(customer, when, now, versions)
    return None


def _version(item: IndexedItem, customer: Customer, added: Instant | None, now: Instant) -> int | None:
    held = SubscriptionItem(item.id, added_at=added)
    subscription = Subscription("one", customer.id, SubscriptionStatus.ACTIVE, (held,))
    return rolled_out_version(item, held, subscription, customer, ValidityWindow(now))


def _customers(item: str, rollouts: Iterable[Rollout]) -> Iterator[Customer]:
    """Yield a customer for each way in which audiences distinguish them; of tags, up to two matter at once."""
    listed = list(rollouts)
    tags = sorted({it.audience.tag for it in listed if it.audience.type is AudienceType.TAG})
    shares = {it.audience.share for it in listed if it.audience.type is AudienceType.SHARE}
    marks = sorted({0, SHARE_STEPS} | {share for share in shares if 0 < share < SHARE_STEPS})
    ids = [_in_share(item, *span) for span in pairwise(marks)] if shares else ["somebody"]
    for id_, tagged in product(ids, [(), *((tag,) for tag in tags), *combinations(tags, 2)]):
        yield Customer(id_, tagged)


@lru_cache(maxsize=4096)
def _in_share(item: str, start: int, until: int) -> str:
    """Return a customer id at such a position in an item's shares."""
    return next(name for name in (f"customer-{it}" for it in count(1)) if start <= share_bucket(name, item) < until)
