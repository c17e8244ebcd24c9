"""Recent callers: who was authenticated a moment ago is let in without a thread and without the database.

After every change each sidecar asks again, and a busy billing system sends a change every millisecond. If each was
looked up, that would cost as much as the change itself. So an authentication is remembered: an API key is valid until
it expires or is revoked, a token until it expires or the keys of its issuer change. Revoked keys and the active
publication are read twice a second.

INVARIANT (a second): a remembered caller is let in by a state of the store that is less than a second old. If the store
cannot be read, nobody is let in from memory.

INVARIANT (at once here): what this process revokes or publishes holds from its next request on. Only sidecars are still
let in by the state before, for at most a second, so that a publication does not make thousands of them be looked up.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

import cachetools
import structlog

from tiergate.store.keys import count_revoked, revoked_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.roles import PublishedRoles
    from tiergate.control.auth.authentication import AuthenticatedCaller, Authenticator
    from tiergate.permissions import Caller, RolePolicies
    from tiergate.store import ReadUnit, Store

_CAPACITY: Final = 50_000
_FRESH: Final = 1.0
_EVERY: Final = 0.4
_LAST_READ_SECONDS: Final = 1.0
_SIDECAR: Final = frozenset({"sidecar"})

_log = structlog.get_logger(__name__)


class _StoreState(NamedTuple):
    """The state of the store at `at` (monotonic seconds): active role policies, version and ids of revoked keys.

    `access_version`: as `Store.access_version`.
    """

    at: float
    access_version: int
    roles: RolePolicies
    keys: tuple[int, int]
    revoked: frozenset[str]


class RecentCallers:
    """The recent callers of one store, and the active role policies. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        authenticator: Authenticator,
        roles: PublishedRoles,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._authenticator, self._roles, self._clock = store, authenticator, roles, clock
        self._known: cachetools.LRUCache[bytes, AuthenticatedCaller] = cachetools.LRUCache(_CAPACITY)
        self._state: _StoreState | None = None

    def recall(self, token: str) -> tuple[Caller, RolePolicies] | None:
        """Return the remembered caller of a token and the active role policies. In the loop's thread."""
        digest = _digest(token)
        state, known = self._state, self._known.get(digest)
        if known is None or state is None or not self._is_fresh(state, known):
            return None
        key = known.key
        if not known.is_valid(self._store.clock()) or (key is not None and key.id in state.revoked):
            del self._known[digest]
            return None
        if key is not None:
            self._authenticator.uses.note(key)
        return known.caller, state.roles

    def admit(self, token: str) -> tuple[AuthenticatedCaller, RolePolicies]:
        """Authenticate the caller of a token. In a thread that may wait.

        Raises:
            RequestError: 401, the key or token is invalid.
            StoreError, JwksError: the store or the issuer's keys are not available.
        """
        authenticated = self._authenticator.admit(token)
        state = self._state
        if state is not None and self._is_fresh(state, authenticated):
            return authenticated, state.roles
        return authenticated, self._roles()

    def _is_fresh(self, state: _StoreState, authenticated: AuthenticatedCaller) -> bool:
        if not 0 <= self._clock() - state.at < _FRESH:
            return False
        return state.access_version == self._store.access_version or authenticated.caller.roles == _SIDECAR

    def remember(self, token: str, authenticated: AuthenticatedCaller) -> None:
        """Remember a caller. In the loop's thread."""
        self._known[_digest(token)] = authenticated

    async def run(self) -> None:
        """Read the state of the store twice a second, and refresh the keys of issuers before they are too old."""
        loop = asyncio.get_running_loop()
        threads = ThreadPoolExecutor(2, "callers")
        fetching = reading = None
        try:
            while True:
                if fetching is None or fetching.done():
                    fetching = loop.run_in_executor(threads, self._authenticator.refresh)
                reading = loop.run_in_executor(threads, self._read_state)
                try:
                    self._state = await asyncio.shield(reading)
                except Exception as error:  # noqa: BLE001 - callers are then authenticated one by one
                    _log.debug("cannot read the state of API keys", error=str(error))
                await asyncio.sleep(_EVERY)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            if reading is not None:
                await asyncio.wait([reading], timeout=_LAST_READ_SECONDS)

    def _read_state(self) -> _StoreState:
        at, access_version = (
            self._clock(),
            self._store.access_version,
        )  # before the read: nothing in the result is older

        def read(unit: ReadUnit) -> _StoreState:
            before = self._state
            keys = count_revoked(unit)
            unchanged = before is not None and before.keys == keys
            revoked = before.revoked if before is not None and unchanged else revoked_ids(unit)
            return _StoreState(at, access_version, self._roles.read(unit), keys, revoked)

        return self._store.read(read)


def _digest(token: str) -> bytes:
    """Return what a token is remembered by, so that no secret stays in memory, and a long token takes little of it."""
    return hashlib.sha256(token.encode()).digest()
