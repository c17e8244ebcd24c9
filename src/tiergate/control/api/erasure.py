"""The endpoints that take a person's data out of the store for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.control.api.customers import the_customer
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.errors import NotFoundError
from tiergate.permissions import Action, Resource
from tiergate.store.erasure import erase_author, erase_customer
from tiergate.store.snapshots import snapshot_lock
from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.store import WriteUnit


def endpoints() -> list[Endpoint]:
    """The routes."""
    anybody = Resource.customer_of("*")  # no customer: a key for some customers may not
    return [
        Endpoint("POST", "/v1/customers/{customer}/erase", Action.ERASE_CUSTOMER, erase, the_customer),
        Endpoint("POST", "/v1/authors/erase", Action.ERASE_CUSTOMER, forget_author, anybody),
    ]


class _Erasure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tags: bool = False


class _Author(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    author: str


def erase(request: AdminRequest) -> Answer:
    """Erase what describes a person from a customer and its past: name, attributes, reasons, `tags` if that is said."""
    id_ = request.params["customer"]
    wanted = request.decode(_Erasure) if request.body else _Erasure()

    def work(unit: WriteUnit) -> Answer:
        found = erase_customer(unit, id_, tags=wanted.tags)._asdict()
        unit.audit("customer.erased", "customer", id_, after={"tags": wanted.tags, **found}, customer=id_)
        unit.emit("customer.erased", {"customer": id_})
        return Answer.json({"customer": id_, **found})

    with snapshot_lock(request.store.database):
        return request.change(work)


def forget_author(request: AdminRequest) -> Answer:
    """Put a name that means nobody in the place of an `author`, in overrides, publications and the audit log."""
    author = request.decode(_Author).author

    def work(unit: WriteUnit) -> Answer:
        try:
            pseudonym, found = erase_author(unit, author)
        except NotFoundError:  # a file's author is read in the normal form C, a caller's name is as its issuer says it
            pseudonym, found = erase_author(unit, to_nfc(author))
        unit.audit("author.erased", "author", pseudonym, after={"entries": found.entries})
        return Answer.json({"author": pseudonym, "entries": found.entries})

    return request.change(work)
