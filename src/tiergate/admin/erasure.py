"""Erasure of personal data: of a customer, and of an author in the audit log.

Both raise `NotFoundError` if the store does not have the customer or the author.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.errors import NotFoundError
from tiergate.permissions import Action, Resource
from tiergate.store import erasure
from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.store import WriteUnit


def erase_customer(actor: Actor, unit: WriteUnit, id_: str, *, tags: bool) -> dict[str, object]:
    """Erase the name, attributes, reasons and, on request, `tags` of a customer, now and in its history.

    Call it with `snapshot_lock`. Returns the counts of what was erased.
    """
    actor.require(Action.ERASE_CUSTOMER, Resource.customer_of(id_))
    counts = erasure.erase_customer(unit, id_, tags=tags)._asdict()
    unit.audit("customer.erased", "customer", id_, after={"tags": tags, **counts}, customer=id_)
    unit.emit("customer.erased", {"customer": id_})
    return counts


def erase_author(actor: Actor, unit: WriteUnit, author: str) -> dict[str, object]:
    """Replace an author by a pseudonym in overrides, publications and the audit log; return it and the count."""
    actor.require(Action.ERASE_CUSTOMER, Resource.customer_of("*"))
    try:
        pseudonym, erased = erasure.erase_author(unit, author)
    except NotFoundError:  # authors in files are in normal form C, names of callers as their issuer writes them
        pseudonym, erased = erasure.erase_author(unit, to_nfc(author))
    unit.audit("author.erased", "author", pseudonym, after={"entries": erased.entries})
    return {"author": pseudonym, "entries": erased.entries}
