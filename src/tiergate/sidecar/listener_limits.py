"""The limits of a listener."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerLimits:
    """Limits of one listener: of a request's head, in bytes, headers and seconds; of open connections.

    `linger`: the seconds in which a connection at rest still responds after a shutdown began, or reads after its end.
    """

    head_bytes: int = 32 * 2**10
    head_fields: int = 100
    head_timeout: float = 10.0
    connections: int | None = None
    linger: float = 0.25
