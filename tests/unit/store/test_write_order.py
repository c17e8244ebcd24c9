"""As of when what was written is so: remembered by side, and told from what is elder."""

from __future__ import annotations

from tiergate.model import SubjectType
from tiergate.store import SYSTEM, Store, WriteUnit
from tiergate.store.write_order import (
    AppliedWrite,
    Side,
    applied_writes,
    clear_deletions,
    delete_deletion_marks,
    delete_old_deletions,
    deletion_instants,
    is_outdated,
    record_deletion,
    record_writes,
)

CUSTOMER, SUBSCRIPTION = SubjectType.CUSTOMER, SubjectType.SUBSCRIPTION


def test_each_side_of_each_subject_is_remembered_by_itself(store_url: str) -> None:
    """The last word stands, of the kinds apart; on both databases."""
    store = Store.open(store_url, clock=lambda: 1_000)

    def write(unit: WriteUnit) -> None:
        record_writes(unit.session, SUBSCRIPTION, [("s", [Side.BILLING], 7), ("t", list(Side), 8)], 900)
        record_writes(unit.session, CUSTOMER, [("s", [Side.PEOPLE], 5)], 900)
        record_writes(unit.session, SUBSCRIPTION, [("s", [Side.BILLING], 9)], unit.now)

    store.change(write, SYSTEM)
    found = store.read(lambda unit: applied_writes(unit.session, SUBSCRIPTION, ["s", "t", "u"]))
    assert found == {
        "s": {Side.BILLING: AppliedWrite(9, 1_000)},
        "t": {Side.BILLING: AppliedWrite(8, 900), Side.PEOPLE: AppliedWrite(8, 900)},
    }
    found = store.read(lambda unit: applied_writes(unit.session, CUSTOMER, ["s"]))
    assert found == {"s": {Side.PEOPLE: AppliedWrite(5, 900)}}
    store.close()


def test_what_is_deleted_is_known_to_be_until_it_is_there_again(store_url: str) -> None:
    """Or long enough; what was said before stays elder; on both databases."""
    store = Store.open(store_url, clock=lambda: 1_000)

    def write(unit: WriteUnit) -> None:
        record_writes(unit.session, SUBSCRIPTION, [("s", [Side.BILLING], 7), ("v", [Side.BILLING], 3)], 900)
        for id_ in ("s", "t", "u"):
            record_deletion(unit.session, SUBSCRIPTION, id_, 8, 950 if id_ == "t" else unit.now)
        record_deletion(unit.session, CUSTOMER, "s", 9, unit.now)
        clear_deletions(unit.session, SUBSCRIPTION, ["s", "x"])
        delete_deletion_marks(unit.session, SUBSCRIPTION, ["s", "u", "v"])

    store.change(write, SYSTEM)
    ids = ["s", "t", "u", "v"]
    assert store.read(lambda unit: deletion_instants(unit.session, SUBSCRIPTION, ids)) == {"t": 8}
    assert store.read(lambda unit: deletion_instants(unit.session, CUSTOMER, ids)) == {"s": 9}
    found = store.read(lambda unit: applied_writes(unit.session, SUBSCRIPTION, ids))
    assert {id_: {side: one.as_of for side, one in known.items()} for id_, known in found.items()} == {
        "s": {Side.BILLING: 8, Side.PEOPLE: 8},
        "t": {Side.BILLING: 8, Side.PEOPLE: 8},
        "v": {Side.BILLING: 3},
    }
    assert store.read(lambda unit: applied_writes(unit.session, CUSTOMER, ids)).keys() == {"s"}
    assert store.change(lambda unit: delete_old_deletions(unit.session, 1_000), SYSTEM) == 1
    assert store.change(lambda unit: delete_old_deletions(unit.session, 1_000), SYSTEM) == 0
    assert store.read(lambda unit: applied_writes(unit.session, SUBSCRIPTION, ids)).keys() == {"s", "v"}
    store.close()


def test_what_is_elder_than_any_of_its_sides_is_passed_over() -> None:
    """The same instant is not elder, nor is what says none."""
    known = {Side.BILLING: AppliedWrite(7, 0), Side.PEOPLE: AppliedWrite(3, 0)}
    assert is_outdated(6, [Side.BILLING], known)
    assert is_outdated(6, list(Side), known)
    assert not is_outdated(6, [Side.PEOPLE], known)
    assert not is_outdated(7, list(Side), known)
    assert not is_outdated(None, list(Side), known)
    assert not is_outdated(1, [Side.BILLING], {})
