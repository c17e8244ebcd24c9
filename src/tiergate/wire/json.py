"""JSON on the wire: exact decimals are written as numbers, and read from the text of the number."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

encode: Final = msgspec.json.Encoder(decimal_format="number").encode
"""Encode a value as JSON; decimals become numbers with all their digits."""

encode_sorted: Final = msgspec.json.Encoder(order="sorted", decimal_format="number").encode
"""Encode as `encode` does, with the members of objects in the order of their names."""

decode: Final = msgspec.json.Decoder(Any, float_hook=Decimal).decode
"""Decode JSON; a number with a fraction or an exponent becomes a `Decimal`.

Raises:
    msgspec.DecodeError: if the text is not JSON.
"""
