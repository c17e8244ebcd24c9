"""Reject items that a subscription cannot get, because they are drafts or archived.

The status is that of the working catalog, so that archiving an item takes effect immediately. Nobody gets a draft.
Subscriptions keep an archived item that they have; others cannot get it by any route: a list of items, a change of
plan, billing, an import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.errors import BodyProblem, ConflictError
from tiergate.model import ItemStatus
from tiergate.store.items import item_statuses

if TYPE_CHECKING:
    from tiergate.model import Subscription
    from tiergate.store import ReadUnit


def reject_unsellable_items(
    unit: ReadUnit, before: Subscription | None, after: Subscription, pointer: str = "/items"
) -> None:
    """Reject a subscription that gets a draft or an archived item.

    Raises:
        ConflictError: it does; with the place of each below `pointer`.
    """
    present = {entry.item for entry in before.items} if before is not None else set()
    new = {place: entry.item for place, entry in enumerate(after.items) if entry.item not in present}
    if not new:
        return
    published, statuses = unit.published.index.items, item_statuses(unit, set(new.values()))
    problems = []
    for place, id_ in new.items():
        listed = published[id_].status if id_ in published else ItemStatus.ACTIVE
        status = ItemStatus.DRAFT if listed is ItemStatus.DRAFT else statuses.get(id_, listed)
        if status is ItemStatus.ARCHIVED:
            detail = f"`{id_}` is archived: only subscriptions that have it keep it"
            problems.append(BodyProblem(f"{pointer}/{place}", "item-archived", detail))
        elif status is ItemStatus.DRAFT:
            detail = f"`{id_}` is a draft: nobody can get it"
            problems.append(BodyProblem(f"{pointer}/{place}", "item-draft", detail))
    if problems:
        raise ConflictError(problems[0].code, "; ".join(dict.fromkeys(it.sentence for it in problems)), problems)
