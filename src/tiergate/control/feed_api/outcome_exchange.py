"""The endpoint by which sidecars deliver outcomes, in MessagePack (`tiergate.status.outcome_delivery`).

Documented in docs/reference/sync-api.md.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tiergate.admin.outcomes import take_in
from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.router import BriefEndpoint, Endpoint
from tiergate.errors import RequestError
from tiergate.permissions import Action, Resource
from tiergate.status.outcome_delivery import decode_batch, encode_reply

MEDIA_TYPE: Final = "application/msgpack"
"""The media type of requests and replies."""

MAX_REQUEST: Final = 8 * 2**20
"""The most bytes of a request: the most sums of a batch fit, with many latencies each."""


def endpoints() -> list[Endpoint]:
    """Return the route."""
    return [
        BriefEndpoint(
            "POST",
            "/v1/sync/outcomes",
            Action.REPORT_USAGE,
            deliver,
            Resource.store(),
            max_body=MAX_REQUEST,
            media_types=(MEDIA_TYPE,),
            is_binary=True,
        )
    ]


def deliver(request: AdminRequest) -> Response:
    """Deliver how requests to features went, added up by minute, in a batch that counts once."""
    try:
        batch = decode_batch(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(400, "malformed request", f"the body is not a batch of outcomes: {error}") from None
    request.write(lambda unit: take_in(unit, batch), brief=True)
    headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store"}
    return Response(200, encode_reply(batch.source, batch.number), headers)
