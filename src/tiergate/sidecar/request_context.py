"""What a request carries beside its check: its id, and its place in a trace (W3C Trace Context)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TOKEN = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_PRINTABLE = re.compile(rb"[ -~]{1,512}")
_CONTEXT_HEADERS = frozenset({b"x-request-id", b"traceparent", b"tracestate"})


class RequestContext(NamedTuple):
    """The values of the headers that are echoed or logged, if they are safe."""

    request_id: bytes | None = None
    traceparent: bytes | None = None
    tracestate: bytes | None = None


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
    return RequestContext(
        _safe(values.get(b"x-request-id"), _TOKEN),
        _safe(values.get(b"traceparent"), _PRINTABLE),
        _safe(values.get(b"tracestate"), _PRINTABLE),
    )


def _safe(value: bytes | None, form: re.Pattern[bytes]) -> bytes | None:
    return value if value is not None and form.fullmatch(value) else None
