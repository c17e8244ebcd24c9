"""The working catalog as it was last read: what changed since is read again, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

import pytest

from tiergate.model import Feature, FeatureType, Item, ItemKind
from tiergate.store import SYSTEM, Store, WriteUnit, working_catalog
from tiergate.store.working_catalog import (
    RecentWorkingState,
    WorkingItem,
    delete_features,
    delete_items,
    read_working,
    write_features,
    write_items,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store with two features and an item, on either database."""
    opened = Store.open(store_url)
    write(opened, "a", "A")
    write(opened, "b", "B")
    opened.change(
        lambda unit: write_items(
            unit, [WorkingItem(Item(id="p", kind=ItemKind.PLAN, versions=(), rollouts=()), (), None, 0, 0)]
        ),
        SYSTEM,
    )
    yield opened
    opened.close()


def write(store: Store, id_: str, name: str) -> None:
    """Write a feature."""
    feature = Feature(id=id_, type=FeatureType.SWITCH, name=name)
    store.change(lambda unit: write_features(unit, [feature]), SYSTEM)


def drop(store: Store) -> None:
    """Delete a feature and the item."""

    def work(unit: WriteUnit) -> None:
        delete_features(unit.session, ["a"])
        delete_items(unit.session, ["p"])

    store.change(work, SYSTEM)


def test_only_what_changed_is_read_again(store: Store) -> None:
    """And what is returned is what reading everything returns: after changes, deletions, and ids that came back."""
    recent = RecentWorkingState()
    read: list[tuple[list[str], list[str]]] = []

    def note(session: object, features: list[str], items: list[str]) -> object:
        read.append((features, items))
        return read_working(session, features, items)  # type: ignore[arg-type]

    def look() -> None:
        with store.database.reading() as session:
            expected = read_working(session)
            with mock.patch.object(working_catalog, "read_working", note):
                assert recent.read(session) == expected

    look()
    look()
    write(store, "b", "changed")
    look()
    drop(store)
    look()
    write(store, "a", "back")
    look()
    assert read == [(["a", "b"], ["p"]), ([], []), (["b"], []), ([], []), (["a"], [])]
