"""Recent callers: sidecars that were authenticated a moment ago are let in without a thread and without the database.

After every change each sidecar asks again. If each was looked up, a wave of thousands would delay the next write. So an
authentication is remembered: an API key is valid until it expires or is revoked, a token until it expires or the keys
of its issuer change. Revoked keys and the active publication are read twice a second. Only callers with no role but the
sidecar's are remembered.

INVARIANT (a second): a remembered caller is let in by a state of the store that is less than a second old. If the store
cannot be read, nobody is let in from memory.
"""

from __future__ import annotations

import asyncio
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
    """The state of the store at `at` (monotonic seconds): active role policies, version and ids of revoked keys."""

    at: float
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
        self._known: cachetools.LRUCache[str, AuthenticatedCaller] = cachetools.LRUCache(_CAPACITY)
        self._state: _StoreState | None = None

    def recall(self, token: str) -> tuple[Caller, RolePolicies] | None:
        """Return the remembered caller of a token and the active role policies. In the loop's thread."""
        state, known = self._state, self._known.get(token)
        if known is None or state is None or not self._is_fresh(state):
            return None
        key = known.key
        if not known.is_valid(self._store.clock()) or (key is not None and key.id in state.revoked):
            del self._known[token]
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
        if state is not None and authenticated.caller.roles == _SIDECAR and self._is_fresh(state):
            return authenticated, state.roles
        return authenticated, self._roles()

    def _is_fresh(self, state: _StoreState) -> bool:
        return 0 <= self._clock() - state.at < _FRESH

    def remember(self, token: str, authenticated: AuthenticatedCaller) -> None:
        """Remember a caller, if it is a sidecar. In the loop's thread."""
        if authenticated.caller.roles == _SIDECAR:
            self._known[token] = authenticated

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
        at = self._clock()  # before the read: nothing in the result is older

        def read(unit: ReadUnit) -> _StoreState:
            before = self._state
            keys = count_revoked(unit)
            unchanged = before is not None and before.keys == keys
            revoked = before.revoked if before is not None and unchanged else revoked_ids(unit)
            return _StoreState(at, self._roles.read(unit), keys, revoked)

        return self._store.read(read)
