"""Which request ids are echoed and logged."""

from __future__ import annotations

import re
from typing import Final

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")


def is_request_id(value: bytes) -> bool:
    """Return whether a value is safe to echo and to log: 1 to 128 letters, digits and `._~:/+=@-`."""
    return _REQUEST_ID.fullmatch(value) is not None
