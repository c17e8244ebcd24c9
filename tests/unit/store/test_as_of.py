"""As of when what was written is so: remembered by side, and told from what is elder."""

from __future__ import annotations

from tiergate.model import SubjectType
from tiergate.store import SYSTEM, Store, WriteUnit
from tiergate.store.as_of import Known, Side, forget, is_elder, known_as_of, remember

CUSTOMER, SUBSCRIPTION = SubjectType.CUSTOMER, SubjectType.SUBSCRIPTION


def test_each_side_of_each_subject_is_remembered_by_itself(store_url: str) -> None:
    """The last word stands, of the kinds apart, until the subject is gone; on both databases."""
    store = Store.open(store_url, clock=lambda: 1_000)

    def write(unit: WriteUnit) -> None:
        remember(unit.session, SUBSCRIPTION, [("s", [Side.BILLING], 7), ("t", list(Side), 8)], 900)
        remember(unit.session, CUSTOMER, [("s", [Side.PEOPLE], 5)], 900)
        remember(unit.session, SUBSCRIPTION, [("s", [Side.BILLING], 9)], unit.now)
        forget(unit.session, SUBSCRIPTION, "t")

    store.change(write, SYSTEM)
    found = store.read(lambda unit: known_as_of(unit.session, SUBSCRIPTION, ["s", "t", "u"]))
    assert found == {"s": {Side.BILLING: Known(9, 1_000)}}
    found = store.read(lambda unit: known_as_of(unit.session, CUSTOMER, ["s"]))
    assert found == {"s": {Side.PEOPLE: Known(5, 900)}}
    store.close()


def test_what_is_elder_than_any_of_its_sides_is_passed_over() -> None:
    """The same instant is not elder, nor is what says none."""
    known = {Side.BILLING: Known(7, 0), Side.PEOPLE: Known(3, 0)}
    assert is_elder(6, [Side.BILLING], known)
    assert is_elder(6, list(Side), known)
    assert not is_elder(6, [Side.PEOPLE], known)
    assert not is_elder(7, list(Side), known)
    assert not is_elder(None, list(Side), known)
    assert not is_elder(1, [Side.BILLING], {})
