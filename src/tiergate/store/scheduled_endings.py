"""What of a subscription ends with its plan at a scheduled change, as it was before: so that it can be taken back.

It stands beside the subscription: sidecars and files read the dates that follow from it, and nothing else. Whoever
reads here in order to write holds the customer's lock (`store.customers.Account`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, insert, select

from tiergate.model import SubscriptionItem
from tiergate.store.tables import PLAN_ENDINGS

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlmodel import Session

    from tiergate.model import Instant

_OF = select(PLAN_ENDINGS.c.at, PLAN_ENDINGS.c["items"]).where(PLAN_ENDINGS.c.subscription == bindparam("its"))
_DROP: Final = delete(PLAN_ENDINGS).where(PLAN_ENDINGS.c.subscription == bindparam("its"))
_ADD: Final = insert(PLAN_ENDINGS)

_items = msgspec.json.Decoder(tuple[SubscriptionItem, ...]).decode


class PlanEnding(NamedTuple):
    """What ends with the plan that ends at an instant: the entries of the subscription, as they were before."""

    at: Instant
    items: tuple[SubscriptionItem, ...]


def find_ending(session: Session, subscription: str) -> PlanEnding | None:
    """What was last said to end with the plan of a subscription; none where nothing was."""
    row = session.connection().execute(_OF, {"its": subscription}).first()
    return None if row is None else PlanEnding(row[0], _items(row[1]))


def keep_ending(session: Session, subscription: str, ending: PlanEnding | None) -> None:
    """Keep what ends with the plan of a subscription, in place of what was kept before; `None`: nothing."""
    connection = session.connection()
    drop_ending(connection, subscription)
    if ending is not None:
        items = msgspec.json.encode(ending.items).decode()
        connection.execute(_ADD, {"subscription": subscription, "at": ending.at, "items": items})


def drop_ending(connection: Connection, subscription: str) -> None:
    """Forget what ends with the plan of a subscription, which is gone or changes no more."""
    connection.execute(_DROP, {"its": subscription})
