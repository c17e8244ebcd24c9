"""Callers that are let in from memory: only for as long as nothing has changed, to the second."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.issuer import Issuer
from tests.published import put_in_force
from tiergate.admin.roles import PublishedRoles
from tiergate.control.auth.authentication import Authenticator, IssuerSettings, TokenVerifier
from tiergate.control.auth.jwks import IssuerKeys
from tiergate.control.auth.recent_callers import RecentCallers
from tiergate.model import Catalog
from tiergate.store import SYSTEM, Store
from tiergate.store.keys import create_key, revoke_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


class Clock:
    """Seconds that somebody moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The seconds."""
        return self.now


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store, on either kind of database."""
    opened = Store.open(store_url)
    yield opened
    opened.close()


def known_callers(store: Store, clock: Clock | None = None, tokens: TokenVerifier | None = None) -> RecentCallers:
    """The callers of a store."""
    authenticator = Authenticator(store, TokenVerifier([]) if tokens is None else tokens)
    return RecentCallers(store, authenticator, PublishedRoles(store), clock=clock or time.monotonic)


@asynccontextmanager
async def watching(known: RecentCallers) -> AsyncIterator[None]:
    """Have the store's state read, and wait for the first time."""
    task = asyncio.create_task(known.run())
    try:
        while known._state is None:  # noqa: ASYNC110 - has no event
            await asyncio.sleep(0.005)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.to_thread(known._authenticator.uses.wait)


def made(store: Store, *roles: str, expires_at: int | None = None) -> tuple[str, str]:
    """A new key's id and text."""
    key = store.change(lambda unit: create_key(unit, "it", list(roles), expires_at=expires_at), SYSTEM)
    return key.key.id, key.text


def enter(known: RecentCallers, token: str) -> bool:
    """Look a caller up, and say whether it is recalled from then on."""
    assert known.recall(token) is None
    found, _ = known.admit(token)
    known.remember(token, found)
    return known.recall(token) is not None


def test_a_sidecar_is_recalled_with_the_roles_in_force(store: Store) -> None:
    """Without anybody being asked."""
    known, (id_, token) = known_callers(store), made(store, "sidecar")

    async def ask() -> None:
        async with watching(known):
            assert enter(known, token)
            recalled = known.recall(token)
            assert recalled is not None
            assert recalled[0].id == f"key/{id_}"
            assert recalled[1].roles >= {"sidecar", "admin"}

    asyncio.run(ask())


EVERYBODY = pytest.mark.parametrize("roles", [("sidecar",), ("admin",), ("sidecar", "admin"), ("analyst",)])


@EVERYBODY
def test_everybody_is_recalled(store: Store, roles: tuple[str, ...]) -> None:
    """A billing system sends a change every millisecond, by the same key."""
    known, (_, token) = known_callers(store), made(store, *roles)

    async def ask() -> None:
        async with watching(known):
            assert enter(known, token)

    asyncio.run(ask())


@EVERYBODY
def test_a_key_that_another_control_plane_revokes_is_not_recalled_a_second_later(
    store_url: str, store: Store, roles: tuple[str, ...]
) -> None:
    """It reads the revoked keys twice a second."""
    known, (id_, token) = known_callers(store), made(store, *roles)
    other = Store.open(store_url)

    async def ask() -> None:
        async with watching(known):
            assert enter(known, token)
            await asyncio.to_thread(other.change, lambda unit: revoke_key(unit, id_), SYSTEM)
            revoked = time.monotonic()
            while known.recall(token) is not None:
                assert time.monotonic() - revoked < 1.5
                await asyncio.sleep(0.005)

    asyncio.run(ask())
    other.close()


@pytest.mark.parametrize("roles", [("admin",), ("sidecar", "admin"), ("analyst",)])
def test_a_key_that_this_control_plane_revokes_is_not_recalled_at_all(store: Store, roles: tuple[str, ...]) -> None:
    """Whoever has revoked it here sees it rejected at once."""
    known, (id_, token), (_, another) = known_callers(store), made(store, *roles), made(store, *roles)

    async def ask() -> None:
        async with watching(known):
            assert enter(known, token)
            assert enter(known, another)
            store.change(lambda unit: revoke_key(unit, id_), SYSTEM)
            assert known.recall(token) is None
            assert known.recall(another) is None  # looked up again, until the revoked keys are read again
            while known.recall(another) is None:  # noqa: ASYNC110 - has no event
                await asyncio.sleep(0.005)
            assert known.recall(token) is None

    asyncio.run(ask())


def test_roles_that_this_control_plane_publishes_hold_at_once(store: Store) -> None:
    """Only a sidecar is recalled with the roles before, for a moment."""
    known, (_, token), (_, sidecar) = known_callers(store), made(store, "admin"), made(store, "sidecar")

    async def ask() -> None:
        async with watching(known):
            assert enter(known, token)
            assert enter(known, sidecar)
            put_in_force(store, Catalog({}, {}))
            assert known.recall(token) is None
            assert known.recall(sidecar) is not None

    asyncio.run(ask())


def test_no_token_stays_in_memory(store: Store) -> None:
    """A caller is remembered by the hash of its token."""
    known, (_, token) = known_callers(store), made(store, "admin")

    async def ask() -> None:
        async with watching(known):
            assert enter(known, token)
            assert all(len(key) == 32 for key in known._known)

    asyncio.run(ask())


def test_who_was_looked_up_before_the_revocation_is_not_recalled_after_it(store: Store) -> None:
    """However late the answer of the look-up comes."""
    known, (id_, token) = known_callers(store), made(store, "sidecar")
    found, _ = known.admit(token)
    store.change(lambda unit: revoke_key(unit, id_), SYSTEM)

    async def ask() -> None:
        async with watching(known):
            known.remember(token, found)
            assert known.recall(token) is None

    asyncio.run(ask())


def test_nobody_is_recalled_by_a_state_of_a_second_ago(store: Store) -> None:
    """Where the database is away, callers are looked up one by one, and refused as it says."""
    clock = Clock()
    known, (_, token) = known_callers(store, clock), made(store, "sidecar")

    async def ask() -> None:
        async with watching(known):
            assert enter(known, token)
        clock.now += 0.999
        assert known.recall(token) is not None
        clock.now += 0.002
        assert known.recall(token) is None

    asyncio.run(ask())


def test_a_key_is_recalled_until_it_expires(store: Store) -> None:
    """By the store's clock."""
    now = store.clock()
    known, (_, token) = known_callers(store), made(store, "sidecar", expires_at=now + 60_000)

    async def ask() -> None:
        async with watching(known):
            assert enter(known, token)
            store.clock = lambda: now + 60_000
            assert known.recall(token) is None

    asyncio.run(ask())


def test_a_token_is_recalled_while_its_issuer_has_the_same_keys(store: Store, tmp_path: Path) -> None:
    """Other keys, and who they had signed for is looked up again."""
    issuer, other = Issuer("k1"), Issuer("k2")
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [issuer.jwk()]}))
    settings = IssuerSettings(
        name="cluster",
        issuer=issuer.name,
        audience="tiergate",
        jwks=str(file),
        subjects={"system:serviceaccount:shop:*": ("sidecar",)},
    )
    clock = Clock()
    keys = IssuerKeys(str(file), clock=clock)
    known = known_callers(store, tokens=TokenVerifier([settings], lambda _: keys))
    token = issuer.token(sub="system:serviceaccount:shop:s1")

    async def ask() -> None:
        async with watching(known):
            assert enter(known, token)
            clock.now += 3600
            await asyncio.to_thread(keys.refresh)
            assert known.recall(token) is not None
            file.write_text(json.dumps({"keys": [other.jwk()]}))
            clock.now += 3600
            await asyncio.to_thread(keys.refresh)
            assert known.recall(token) is None

    asyncio.run(ask())
