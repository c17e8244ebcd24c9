"""Client of the sidecar: typed checks and answers over TCP or a Unix socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.client.answers import Answer, Entitlement, Explanation, Source, read_answer, read_explanation, read_json
from tiergate.client.outcomes import MeasuredOutcome, OutcomeMinute
from tiergate.client.sidecar import DEFAULT_URL, Sidecar
from tiergate.client.usage import AsyncReservation, Consumption, FeatureUsage, RecordedUsage, Reservation, UsageWindow
from tiergate.errors import (
    CallerError,
    CheckError,
    RequestError,
    SettingsError,
    SidecarUnreachableError,
    UnknownFeatureError,
)
from tiergate.model import Check, Subject, SubjectType

if TYPE_CHECKING:
    from tiergate.client.async_sidecar import AsyncSidecar

__all__ = [
    "DEFAULT_URL",
    "Answer",
    "AsyncReservation",
    "AsyncSidecar",
    "CallerError",
    "Check",
    "CheckError",
    "Consumption",
    "Entitlement",
    "Explanation",
    "FeatureUsage",
    "MeasuredOutcome",
    "OutcomeMinute",
    "RecordedUsage",
    "RequestError",
    "Reservation",
    "SettingsError",
    "Sidecar",
    "SidecarUnreachableError",
    "Source",
    "Subject",
    "SubjectType",
    "UnknownFeatureError",
    "UsageWindow",
    "read_answer",
    "read_explanation",
    "read_json",
]


def __getattr__(name: str) -> object:
    """Import the client for asyncio when somebody needs it: asyncio takes long to import."""
    if name != "AsyncSidecar":
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    from tiergate.client.async_sidecar import AsyncSidecar  # noqa: PLC0415 - see above

    return AsyncSidecar
