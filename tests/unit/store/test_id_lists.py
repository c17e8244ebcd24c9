from __future__ import annotations

import pytest
from sqlalchemy import bindparam, delete, or_, select

from tiergate.store import Store
from tiergate.store.id_lists import is_among
from tiergate.store.row_inserts import insert_rows
from tiergate.store.tables import OVERRIDES, SUBSCRIPTION_ITEMS, SUBSCRIPTIONS, TOMBSTONES

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


def test_a_list_is_looked_up_by_an_index(sqlite_url: str) -> None:
    """SQLite searches for each text: it never reads the table from end to end."""
    opened = Store.open(sqlite_url)
    both = or_(is_among(OVERRIDES.c.holder, "a"), is_among(OVERRIDES.c.holder, "b"))
    statements = [
        select(SUBSCRIPTIONS).where(is_among(SUBSCRIPTIONS.c.id)),
        select(SUBSCRIPTION_ITEMS)
        .where(is_among(SUBSCRIPTION_ITEMS.c.subscription))
        .order_by(SUBSCRIPTION_ITEMS.c.place),
        select(OVERRIDES).where(OVERRIDES.c.holder_type == "customer", both),
        delete(TOMBSTONES).where(TOMBSTONES.c.kind == "item", is_among(TOMBSTONES.c.id)),
    ]
    for statement in statements:
        compiled = statement.compile(opened.database.engine)
        with opened.database.reading() as session:
            plan = session.connection().exec_driver_sql(
                f"EXPLAIN QUERY PLAN {compiled}", tuple("[]" for _ in compiled.positiontup or ())
            )
            steps = [row[3] for row in plan]
        assert any(step.startswith("SEARCH") for step in steps), steps
        assert not any(step.startswith("SCAN") and "json_each" not in step for step in steps), steps
    opened.close()
