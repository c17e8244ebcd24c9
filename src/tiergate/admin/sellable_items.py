"""Which items a subscription may get: those that are sold.

An item's status is read as it is edited now, so archiving it acts at once. A draft is given to nobody, and an archived
item is kept by the subscriptions that have it; a subscription that has it not is refused, whatever the way: a list of
items, a change of plan, billing, an import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.errors import BodyProblem, ConflictError
from tiergate.model import ItemStatus
from tiergate.store.items import item_statuses

if TYPE_CHECKING:
    from tiergate.model import Subscription
    from tiergate.store import ReadUnit


def refuse_unsellable(unit: ReadUnit, before: Subscription | None, after: Subscription, at: str = "/items") -> None:
    """See that a subscription gets no item that is a draft or archived. `at`: where its items stand in the body.

    Raises:
        ConflictError: it gets one; with the place of each.
    """
    known = {held.item for held in before.items} if before is not None else set()
    new = {place: held.item for place, held in enumerate(after.items) if held.item not in known}
    if not new:
        return
    published = unit.published.index.items
    statuses = item_statuses(unit, set(new.values()))
    problems = []
    for place, id_ in new.items():
        listed = published[id_].status if id_ in published else ItemStatus.ACTIVE
        status = ItemStatus.DRAFT if listed is ItemStatus.DRAFT else statuses.get(id_, listed)
        if status is ItemStatus.ARCHIVED:
            said = f"`{id_}` is archived: those who have it keep it, and nobody new gets it"
            problems.append(BodyProblem(f"{at}/{place}", "item-archived", said))
        elif status is ItemStatus.DRAFT:
            said = f"`{id_}` is a draft, and is given to nobody"
            problems.append(BodyProblem(f"{at}/{place}", "item-draft", said))
    if problems:
        raise ConflictError(problems[0].code, "; ".join(dict.fromkeys(it.sentence for it in problems)), problems)
