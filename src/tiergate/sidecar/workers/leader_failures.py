"""What a worker answers if its leader cannot: an error in the form of the protocol that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.sidecar.api.ofrep import failures
from tiergate.sidecar.api.protocol_paths import (
    EVALUATION_PATH,
    EVALUATIONS_PATH,
    EVENTS_PATH,
    FLAGS_PATH,
    SEARCH_PATH,
)
from tiergate.sidecar.api.responses import rejected

if TYPE_CHECKING:
    from tiergate.errors import RequestError
    from tiergate.sidecar.api.responses import HttpResponse
    from tiergate.sidecar.metrics import Metrics

_OWN: Final = "/v1/"
_OFREP: Final = {FLAGS_PATH: "ofrep_bulk", EVENTS_PATH: "ofrep_events"}
_FLAG: Final = f"{FLAGS_PATH}/"
_AUTHZEN: Final = {EVALUATION_PATH: "authzen", EVALUATIONS_PATH: "authzen_batch"}


def reject_handed_on(error: RequestError, path: str, metrics: Metrics) -> HttpResponse:
    """Respond with an error in the form of a path, and count it for the endpoint."""
    if path in _OFREP:
        return failures.rejected(metrics, _OFREP[path], error)
    if path.startswith(_FLAG):
        return failures.rejected(metrics, "ofrep", error, path.removeprefix(_FLAG))
    if path.startswith(_OWN):
        endpoint = path.removeprefix(_OWN).partition("/")[0]
    else:
        endpoint = "authzen_search" if path.startswith(SEARCH_PATH) else _AUTHZEN.get(path, "other")
    return rejected(error, metrics, endpoint)
