"""The cases of `conformance/`, and what compares an answer with them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[1] / "conformance"
FILES: Final = ("--catalog", FOLDER / "catalog.yaml", "--subjects", FOLDER / "subjects.yaml")


def exact(text: str | bytes) -> Any:  # noqa: ANN401 - a document
    """JSON with exact decimals."""
    return json.loads(text, parse_float=Decimal)


def cases(file: str, part: str) -> list[dict[str, Any]]:
    """The cases of a part of a file."""
    return list(exact((FOLDER / file).read_bytes())[part])


def differences(expected: object, found: object, at: str = "") -> list[str]:
    """Where an answer is not as expected; it may have more members, and no other elements."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for name, value in expected.items()
            for line in (
                differences(value, found[name], f"{at}/{name}") if name in found else [f"{at}/{name} is missing"]
            )
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for place, (one, other) in pairs for line in differences(one, other, f"{at}/{place}")]
    equal = expected == found and isinstance(expected, bool) == isinstance(found, bool)
    return [] if equal else [f"{at}: {found!r} instead of {expected!r}"]
