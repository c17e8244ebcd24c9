"""Brief changes that share a transaction do the same as one after the other, each in a transaction of its own."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import event, select

from tests.example_counts import seeds
from tests.stored_lines import read_after
from tests.unit.admin.use_cases import NOW, actor, open_store
from tiergate.admin import customers, overrides, subscriptions
from tiergate.admin.precondition import Precondition
from tiergate.admin.write_order import WriteConditions
from tiergate.feed.hash_chain import chain_start, extend_chain, line_digest
from tiergate.model import Subject, SubjectType
from tiergate.permissions import Action
from tiergate.store import Store, change_queue
from tiergate.store.change_queue import Change
from tiergate.store.idempotency import IdempotencyKey, StoredResponse, read_stored_response, store_response
from tiergate.store.subscriptions import get_subscription
from tiergate.store.tables import (
    AS_OF,
    AUDIT,
    CUSTOMER_TAGS,
    CUSTOMERS,
    EXTERNAL_IDS,
    IDEMPOTENCY,
    OVERRIDES,
    RECORDS,
    SUBSCRIPTION_ITEMS,
    SUBSCRIPTIONS,
    SUSPENSIONS,
    TOMBSTONES,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tiergate.store import WriteUnit
    from tiergate.store.change_queue import Outcome
    from tiergate.store.subjects import StoredSubscription

    Work = Callable[[WriteUnit], object]

ANY: Final = WriteConditions()
TABLES: Final = (
    CUSTOMERS,
    CUSTOMER_TAGS,
    SUBSCRIPTIONS,
    SUBSCRIPTION_ITEMS,
    OVERRIDES,
    SUSPENSIONS,
    EXTERNAL_IDS,
    AS_OF,
    TOMBSTONES,
    RECORDS,
    AUDIT,
    IDEMPOTENCY,
)
ACTOR: Final = actor()
CUSTOMERS_IDS: Final = ("a", "b", "c")
SUBSCRIPTION_IDS: Final = ("s1", "s2", "s3", "s4")


def text(**members: object) -> bytes:
    """A body."""
    return json.dumps(members).encode()


def conditions(chosen: random.Random) -> WriteConditions:
    """Mostly none; else a version, which may be another one, or an instant, which may be an older one."""
    match chosen.randrange(6):
        case 0:
            return WriteConditions(Precondition((chosen.randint(1, 4),)))
        case 1:
            return WriteConditions(as_of=NOW - chosen.randrange(4))
        case _:
            return ANY


def draw(chosen: random.Random, cases: int = 14) -> Work:  # noqa: PLR0911 - one case a use case
    """One change: it may be impossible, and it may raise when it has written already."""
    customer, subscription = chosen.choice(CUSTOMERS_IDS), chosen.choice(SUBSCRIPTION_IDS)
    number, given = chosen.randint(1, 5), conditions(chosen)
    match chosen.randrange(cases):
        case 0:
            body = text(id=customer, name=f"n{number}", tags=["eu"] if number > 3 else [])
            return lambda unit: customers.create_customer(ACTOR, unit, body, given)
        case 1:
            body = text(name=f"n{number}", external_ids={"crm": f"x{chosen.randrange(2)}"} if number > 3 else {})
            return lambda unit: customers.patch_customer(ACTOR, unit, customer, body, given)
        case 2:
            return lambda unit: customers.remove_customer(ACTOR, unit, customer, given)
        case 3 | 4:
            body = text(id=subscription, status="active", items=[{"item": "gold", "quantity": number}])
            return lambda unit: subscriptions.create_subscription(ACTOR, unit, customer, body, given)
        case 5 | 6 | 7:
            body = text(items=[{"item": "gold", "quantity": number}], metadata={"n": str(number)})
            return lambda unit: subscriptions.patch_subscription(ACTOR, unit, subscription, body, given)
        case 8:
            return lambda unit: subscriptions.remove_subscription(ACTOR, unit, subscription, given)
        case 9:
            body = text(item="extra-movies")
            return lambda unit: subscriptions.add_item(ACTOR, unit, subscription, body, given)
        case 10:
            step = chosen.choice(("pause", "resume", "past-due", "cancel"))
            return lambda unit: subscriptions.take_step(ACTOR, unit, subscription, step, None, given)
        case 11:
            subject = Subject(subscription, SubjectType.SUBSCRIPTION)
            body = text(id=f"o{number}", feature="movies", value=100 * number, reason="asked")
            return lambda unit: overrides.add_override(ACTOR, unit, subject, body, given)
        case 12:
            denied = actor(denied=frozenset({Action.EDIT_SUBSCRIPTION}))
            return lambda unit: subscriptions.take_step(denied, unit, subscription, "pause", None, given)
        case _:
            return _late(draw(chosen, cases - 1), number)


def _late(work: Work, number: int) -> Work:
    """A change that keeps its answer under one of two keys, and sometimes raises at its end."""
    key = IdempotencyKey("anna", f"k{number % 2}", "hash")

    def run(unit: WriteUnit) -> object:
        kept = read_stored_response(unit, key)
        if kept is not None:
            return kept
        work(unit)
        store_response(unit, key, StoredResponse(200, {}, b"{}"))
        if number > 3:
            raise ArithmeticError(number)
        return "kept"

    return run


def together(store: Store, works: list[Work]) -> list[Outcome[object]]:
    """Run changes in one transaction."""
    go, running = threading.Event(), [Future[Any]() for _ in works]
    store.submit(Change(work=lambda _: go.wait(), actor=ACTOR.author), lambda _: None)
    for work, done in zip(works, running, strict=True):
        change = Change(
            work=work,
            actor=ACTOR.author,
            reason=ACTOR.reason,
            request_id=ACTOR.request_id,
            customers=CUSTOMERS_IDS[:2],
            subscriptions=SUBSCRIPTION_IDS[:3],
        )
        store.submit(change, done.set_result)
    go.set()
    return [done.result() for done in running]


def state(store: Store) -> dict[str, object]:
    """Everything that changes can write."""

    def read(unit: Any) -> dict[str, object]:  # noqa: ANN401 - a unit
        found: dict[str, object] = {}
        for table in TABLES:
            columns = [column for column in table.c if column.name != "id" or table is not AUDIT]
            query = select(*columns)
            rows = unit.session.connection().execute(query.order_by(AUDIT.c.id) if table is AUDIT else query).all()
            found[table.name] = [*map(tuple, rows)] if table is AUDIT else sorted(map(repr, rows))
        entries = read_after(unit.session, 0, 10_000)
        chain = chain_start(store.id)
        for entry in entries:
            chain = extend_chain(chain, line_digest(entry.line))
        head = unit.head()
        assert (head.position, head.chain) == (len(entries), chain)
        found["feed"] = [bytes(entry.line) for entry in entries]
        return found

    return store.read(read)


@pytest.mark.parametrize("seed", seeds(4, 12))
def test_changes_together_do_what_each_alone_does(
    seed: int, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, feed, audit log and answers are the same, whatever fails among them."""
    monkeypatch.setattr(change_queue, "_MAX_SECONDS", 60.0)  # however slow the machine is, they stay together
    chosen, reference = random.Random(seed), f"sqlite:///{tmp_path / 'alone.db'}"
    setup = [_adding("a"), _adding("b"), _subscribing("s1", "a")]
    rounds = [setup, *([draw(chosen) for _ in range(14)] for _ in range(4))]
    Store.open(reference, migrating=True).close()
    with open_store(store_url) as tested, open_store(reference) as alone:
        commits = list[object]()
        event.listen(tested.database.engine, "commit", commits.append)
        for works in rounds:
            answers = []
            for work in works:
                try:
                    answers.append(repr(ACTOR.change(alone, work)))
                except Exception as error:  # noqa: BLE001 - compared below
                    answers.append(repr(error))
            commits.clear()
            found = [repr(it.result) if it.error is None else repr(it.error) for it in together(tested, works)]
            assert found == answers
            assert len(commits) == 1
            one, other = state(tested), state(alone)
            for name, rows in one.items():
                assert rows == other[name], name


def test_two_control_planes_lose_nothing(store_url: str) -> None:
    """Their transactions take the same customers in any order; every change is made once, and the feed has them all."""
    with open_store(store_url) as store:
        other = Store.open(store_url, clock=store.clock)
        for id_ in CUSTOMERS_IDS:
            ACTOR.change(store, _adding(id_))
            ACTOR.change(store, _subscribing(f"s-{id_}", id_))
        running: list[Future[Any]] = []
        for turn in range(40):
            for plane in (store, other):
                # With and without what it will read, so that locks are taken in different orders.
                for id_ in random.Random(turn).sample(CUSTOMERS_IDS, 3):
                    done = Future[Any]()
                    running.append(done)
                    hints = (f"s-{id_}",) if turn % 2 else ()
                    plane.submit(
                        Change(work=_raise_quantity(f"s-{id_}"), actor=ACTOR.author, subscriptions=hints),
                        done.set_result,
                    )
        assert [it.result().error for it in running if it.result().error is not None] == []
        other.close()
        for id_ in CUSTOMERS_IDS:
            found, stamp = _subscription(store, f"s-{id_}")
            assert (found.items[0].quantity, stamp.etag) == (81, 81)
        lines = state(store)["feed"]
        assert isinstance(lines, list)
        assert len(lines) == 1 + 2 * 3 + 240


def _adding(id_: str) -> Work:
    return lambda unit: customers.create_customer(ACTOR, unit, text(id=id_), ANY)


def _subscribing(id_: str, customer: str) -> Work:
    body = text(id=id_, status="active", items=[{"item": "gold"}])
    return lambda unit: subscriptions.create_subscription(ACTOR, unit, customer, body, ANY)


def _subscription(store: Store, id_: str) -> StoredSubscription:
    return store.read(lambda unit: get_subscription(unit.session, id_))


def _raise_quantity(id_: str) -> Work:
    def work(unit: WriteUnit) -> object:
        account = subscriptions.open_account_of(unit, id_)
        quantity = account.subscription(id_).subscription.items[0].quantity
        body = text(items=[{"item": "gold", "quantity": quantity + 1}])
        return subscriptions.patch_subscription(ACTOR, unit, id_, body, ANY)

    return work
