"""Signing heads of the feed, on demand, and at most once a second for the same position.

INVARIANT (a head is true): a head states the end of the feed at `issued_at`, which is an instant at which the database
was read, never the clock of the signing process. Sidecars count the age of their data from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cachetools

from tiergate.bundle import Head

if TYPE_CHECKING:
    from tiergate.bundle import SubjectStatement
    from tiergate.model import Instant
    from tiergate.publish.signer import Signer

_KEPT: Final = 256
_FRESH_MS: Final = 1_000


class HeadSigner:
    """Signs heads and statements of one store."""

    def __init__(self, store: str, signer: Signer) -> None:
        """Sign for the store with this id."""
        self.store = store
        self._signer = signer
        self._signed: cachetools.LRUCache[tuple[int, int, str | None], tuple[Instant, bytes]] = cachetools.LRUCache(
            _KEPT
        )

    def head(
        self, position: int, chain: str, publication: int, *, latest: int, at: Instant, snapshot: str | None = None
    ) -> bytes:
        """Return the envelope of a head, signed within the second before `at`. Call it from one thread."""
        key = (position, latest, snapshot)
        issued_at, envelope = self._signed.get(key, (0, b""))
        if not envelope or not 0 <= at - issued_at < _FRESH_MS:
            envelope = self._signer.sign(
                Head(
                    store=self.store,
                    issued_at=at,
                    position=position,
                    chain=chain,
                    latest=latest,
                    publication=publication,
                    snapshot=snapshot,
                )
            )
            self._signed[key] = (at, envelope)
        return envelope

    def subject(self, statement: SubjectStatement) -> bytes:
        """Return the envelope of a statement about one subject."""
        return self._signer.sign(statement)
