from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import bindparam, delete, select

from tiergate.store.id_lists import is_among
from tiergate.store.row_inserts import insert_rows
from tiergate.store.tables import TOMBSTONES

if TYPE_CHECKING:
    from tiergate.store import Store

IDS = ["a", "A", "it's", 'q"uote', "b\\slash", "Łukasz", "日本", "null", "%s", "[1]", ":ids"]
FIND = select(TOMBSTONES.c.id).where(is_among(TOMBSTONES.c.id), TOMBSTONES.c.kind == bindparam("kind"))


def found(store: Store, ids: list[str], kind: str = "item") -> set[str]:
    """The rows with one of these ids."""
    with store.database.reading() as session:
        return set(session.connection().execute(FIND, {"ids": ids, "kind": kind}).scalars())


@pytest.fixture(autouse=True)
def rows(store: Store) -> None:
    """Rows of some ids."""
    with store.database.writing() as session:
        insert_rows(session.connection(), TOMBSTONES, [{"kind": "item", "id": id_, "etag": 1} for id_ in IDS])
        session.commit()


@pytest.mark.parametrize("ids", [[], ["a"], ["b"], IDS, [*IDS[2:5], "other"], [f"x{n}" for n in range(20_000)] + ["a"]])
def test_a_column_is_among_texts_if_it_is_one_of_them(store: Store, ids: list[str]) -> None:
    """However many there are, and whatever characters they have."""
    assert found(store, ids) == set(ids) & set(IDS)
    assert found(store, ids, kind="feature") == set()


def test_rows_can_be_deleted_by_a_list(store: Store) -> None:
    """The condition is that of a deletion too."""
    with store.database.writing() as session:
        session.connection().execute(delete(TOMBSTONES).where(is_among(TOMBSTONES.c.id, "gone")), {"gone": IDS[:3]})
        session.commit()
    assert found(store, IDS) == set(IDS[3:])
