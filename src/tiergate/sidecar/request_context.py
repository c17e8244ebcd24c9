"""What a request carries beside its body: its id, its place in a trace (W3C Trace Context), its idempotency key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tiergate.http.request_ids import is_request_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PRINTABLE = re.compile(rb"[ -~]{1,512}")
_CONTEXT_HEADERS = frozenset({b"x-request-id", b"traceparent", b"tracestate", b"idempotency-key"})


class RequestContext(NamedTuple):
    """The values of headers: those that are echoed or logged, if they are safe; and the idempotency key, as it is.

    `idempotency_key` is empty if it is given twice.
    """

    request_id: bytes | None = None
    traceparent: bytes | None = None
    tracestate: bytes | None = None
    idempotency_key: bytes | None = None


NO_CONTEXT = RequestContext()
"""A request without any of these headers."""


def context_of(headers: Iterable[tuple[bytes, bytes]]) -> RequestContext:
    """Read the context from headers with names in lower case. A header that is given twice is left out."""
    values: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _CONTEXT_HEADERS:
            values[name] = b"" if name in values else value
    return make_context(values) if values else NO_CONTEXT


def make_context(values: Mapping[bytes, bytes]) -> RequestContext:
    """Make a context of header values, without those that are not safe to echo or to log.

    An id is safe if it is 1 to 128 letters, digits and `._~:/+=@-`; the others, if they are printable and not long.
    """
    request_id = values.get(b"x-request-id")
    return RequestContext(
        request_id if request_id is not None and is_request_id(request_id) else None,
        _printable(values.get(b"traceparent")),
        _printable(values.get(b"tracestate")),
        values.get(b"idempotency-key"),
    )


def _printable(value: bytes | None) -> bytes | None:
    return value if value is not None and _PRINTABLE.fullmatch(value) else None
