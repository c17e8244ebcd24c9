"""Sidecars that asked a moment ago: let in without a thread and a database, because all of them come back at once.

After every change each sidecar asks again. Were each looked up, a wave of thousands would hold up whoever writes next.
So what was proved once stays so, until it could be otherwise: the store's revoked keys, and its publication in force,
are read twice a second; an API key counts until it expires or is revoked, a token until it expires, or its issuer's
keys change. Nobody is remembered who has another role than a sidecar's: others are looked up each time.

INVARIANT (a second): whoever is let in from memory was let in by a state of the store of less than a second ago. Where
that cannot be read, nobody is.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

import cachetools
import structlog

from tiergate.store.keys import revocations, revoked_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.published_roles import PublishedRoles
    from tiergate.control.auth.authentication import AuthenticatedCaller, Authenticator
    from tiergate.permissions import Caller, RolePolicies
    from tiergate.store import ReadUnit, Store

_REMEMBERED: Final = 50_000
_FRESH: Final = 1.0
_EVERY: Final = 0.4
_LAST_LOOK: Final = 1.0
_SIDECAR: Final = frozenset({"sidecar"})

_log = structlog.get_logger(__name__)


class _Standing(NamedTuple):
    """What the store said, and when, by a clock that only goes forward: the table in force, and what counts no more."""

    at: float
    roles: RolePolicies
    keys: tuple[int, int]
    revoked: frozenset[str]


class RecentCallers:
    """Names callers and the table of roles in force, for one store. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        authenticator: Authenticator,
        roles: PublishedRoles,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._authenticator, self._roles, self._clock = store, authenticator, roles, clock
        self._known: cachetools.LRUCache[str, AuthenticatedCaller] = cachetools.LRUCache(_REMEMBERED)
        self._standing: _Standing | None = None

    def recall(self, token: str) -> tuple[Caller, RolePolicies] | None:
        """Name the caller of a token, if that is known without asking anybody. In the loop's thread."""
        standing, known = self._standing, self._known.get(token)
        if known is None or standing is None or not self._is_fresh(standing):
            return None
        key = known.key
        if not known.counts(self._store.clock()) or (key is not None and key.id in standing.revoked):
            del self._known[token]
            return None
        if key is not None:
            self._authenticator.uses.note(key)
        return known.caller, standing.roles

    def admit(self, token: str) -> tuple[AuthenticatedCaller, RolePolicies]:
        """Look the caller of a token up. In a thread that may wait.

        Raises:
            RequestError: 401, the key or token is not good.
            StoreError, JwksError: it cannot be looked up now.
        """
        found = self._authenticator.admit(token)
        standing = self._standing
        if standing is not None and found.caller.roles == _SIDECAR and self._is_fresh(standing):
            return found, standing.roles
        return found, self._roles()

    def _is_fresh(self, standing: _Standing) -> bool:
        return 0 <= self._clock() - standing.at < _FRESH

    def remember(self, token: str, found: AuthenticatedCaller) -> None:
        """Remember a sidecar. In the loop's thread."""
        if found.caller.roles == _SIDECAR:
            self._known[token] = found

    async def run(self) -> None:
        """Read the store's state twice a second, and have keys of issuers fetched before they are too old."""
        loop = asyncio.get_running_loop()
        threads = ThreadPoolExecutor(2, "callers")
        fetching = looking = None
        try:
            while True:
                if fetching is None or fetching.done():
                    fetching = loop.run_in_executor(threads, self._authenticator.refresh)
                looking = loop.run_in_executor(threads, self._look)
                try:
                    self._standing = await asyncio.shield(looking)
                except Exception as error:  # noqa: BLE001 - whatever it is, callers are looked up one by one
                    _log.debug("the state of keys cannot be read", error=str(error))
                await asyncio.sleep(_EVERY)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            if looking is not None:
                await asyncio.wait([looking], timeout=_LAST_LOOK)

    def _look(self) -> _Standing:
        at = self._clock()  # before it is asked: nothing that is learnt is older than that

        def read(unit: ReadUnit) -> _Standing:
            before = self._standing
            keys = revocations(unit)
            unchanged = before is not None and before.keys == keys
            revoked = before.revoked if before is not None and unchanged else revoked_ids(unit)
            return _Standing(at, self._roles.read(unit), keys, revoked)

        return self._store.read(read)
