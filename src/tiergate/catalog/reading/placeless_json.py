"""Parse JSON text into a document without places, which takes a tenth of the time of one with places.

For text that is probably valid. Whoever finds a problem reads again with places (`json_reader`), to report it.
"""

from __future__ import annotations

import json
import re
from array import array
from typing import TYPE_CHECKING, Final, NoReturn

from tiergate.catalog.reading.document import Mapping
from tiergate.catalog.reading.problem_report import PlacesNeeded
from tiergate.catalog.reading.scalars import read_number
from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from tiergate.catalog.reading.document import Node

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_NO_PLACES: Final[array[int]] = array("q")


def read_placeless_json(text: str) -> Node:
    """Read the only value of a text.

    Raises:
        PlacesNeeded, ValueError, RecursionError: the text has a problem, or is unusual: read it with places.
    """
    if "\\u" in text and _SURROGATE_ESCAPE.search(text):
        raise PlacesNeeded
    # Text in ASCII without escapes is in the normal form C.
    node: Node = (_decode if text.isascii() and "\\u" not in text else _decode_composed)(text)
    return node


def _mapping(pairs: list[tuple[str, Node]]) -> Mapping:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise PlacesNeeded
    return Mapping(entries, _NO_PLACES)


def _composed_mapping(pairs: list[tuple[str, Node]]) -> Mapping:
    return _mapping([(to_nfc(key), _composed(node)) for key, node in pairs])


def _composed(node: Node) -> Node:
    if isinstance(node, str):
        return to_nfc(node)
    return [_composed(inner) for inner in node] if isinstance(node, list) else node


def _constant(word: str) -> NoReturn:
    raise ValueError(word)


_decode = json.JSONDecoder(
    object_pairs_hook=_mapping,
    parse_float=read_number,
    parse_constant=_constant,
).decode
_decode_composed = json.JSONDecoder(
    object_pairs_hook=_composed_mapping,
    parse_float=read_number,
    parse_constant=_constant,
).decode
