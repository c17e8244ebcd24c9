"""The items of a subscription that end with its plan at a scheduled change, as before, so that it can be canceled.

The table is beside that of subscriptions, because sidecars and files only need the resulting dates. A caller that reads
here in order to write has the customer's lock (`store.customers.Account`).
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

_OF = select(PLAN_ENDINGS.c.at, PLAN_ENDINGS.c["items"]).where(PLAN_ENDINGS.c.subscription == bindparam("row_id"))
_DROP: Final = delete(PLAN_ENDINGS).where(PLAN_ENDINGS.c.subscription == bindparam("row_id"))
_ADD: Final = insert(PLAN_ENDINGS)

_items = msgspec.json.Decoder(tuple[SubscriptionItem, ...]).decode


class PlanEnding(NamedTuple):
    """The items of a subscription that end with its plan at an instant, as they were before."""

    at: Instant
    items: tuple[SubscriptionItem, ...]


def find_ending(session: Session, subscription: str) -> PlanEnding | None:
    """Return the scheduled ending of the plan of a subscription, if any."""
    row = session.connection().execute(_OF, {"row_id": subscription}).first()
    return None if row is None else PlanEnding(row[0], _items(row[1]))


def write_ending(session: Session, subscription: str, ending: PlanEnding | None) -> None:
    """Replace the scheduled ending of the plan of a subscription; `None`: remove it."""
    connection = session.connection()
    drop_ending(connection, subscription)
    if ending is not None:
        items = msgspec.json.encode(ending.items).decode()
        connection.execute(_ADD, {"subscription": subscription, "at": ending.at, "items": items})


def drop_ending(connection: Connection, subscription: str) -> None:
    """Remove the scheduled ending of the plan of a subscription."""
    connection.execute(_DROP, {"row_id": subscription})
