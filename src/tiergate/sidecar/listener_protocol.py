"""The protocol class of one listener."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.http.connection_protocol import ExcessConnections
from tiergate.sidecar.http_protocol import SidecarProtocol
from tiergate.sidecar.listener_limits import ListenerLimits

if TYPE_CHECKING:
    from tiergate.sidecar.fast_path import FastPath
    from tiergate.sidecar.metrics import Metrics


def protocol_class(
    metrics: Metrics, quick: FastPath | None, limits: ListenerLimits | None = None
) -> type[SidecarProtocol]:
    """Make the protocol class of one listener, for uvicorn's `http=`. Without a fast path every request is parsed."""
    return type(
        "SidecarProtocol",
        (SidecarProtocol,),
        {
            "metrics": metrics,
            "quick": quick,
            "limits": limits if limits is not None else ListenerLimits(),
            "excess": ExcessConnections(),
        },
    )
