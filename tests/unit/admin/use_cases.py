"""What the tests of use cases share: a store with a catalog, and actors, without HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.stores import put_in_force
from tests.unit.control.subjects import CATALOG, NOW, Ticking
from tiergate.admin.actor import Actor
from tiergate.permissions import Caller, CallerKind, Permission
from tiergate.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.permissions import Action, Resource

__all__ = ["NOW", "actor", "open_store"]


def actor(id_: str = "anna", *, denied: frozenset[Action] = frozenset()) -> Actor:
    """An actor that may do everything but what is denied."""

    def allows(action: Action, _: Resource) -> Permission:
        return Permission(action not in denied, ())

    return Actor(Caller(id_, CallerKind.PERSON, frozenset()), allows, "a test", "r1")


@contextmanager
def open_store(url: str) -> Iterator[Store]:
    """A store at `NOW`, with the catalog of the tests about subjects."""
    store = Store.open(url, clock=Ticking())
    try:
        put_in_force(store, CATALOG)
        yield store
    finally:
        store.close()
