"""Validate policy files strictly.

Permits of item versions are instances of a few shapes, so specimens of the shapes are validated in their place
(`item_policies.write_specimens`); the files themselves only where a specimen is not valid, to find every problem.

Files are validated each by itself, on all cores: Cedar releases Python's lock. The time and memory of validation grow
faster than the text, so large files are split: of 10,000 permits at once, each takes twice the time and ten times the
memory.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tiergate.cedar import ValidationError, validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiergate.cedar import Schema

_MOST_PERMITS = 128
_BETWEEN_PERMITS = "\n\n@id("
"""INVARIANT (layout of permits): `PermitWriter` writes an empty line between permits, and nowhere else."""


def validate_permit_files(
    files: Mapping[str, bytes], specimens: str, schema: Schema
) -> dict[str, list[ValidationError]]:
    """Validate files of permits of the specimens' shapes; return the findings of the invalid ones by path."""
    return validate_files(files, schema) if validate(specimens, schema) else {}


def validate_files(files: Mapping[str, bytes], schema: Schema) -> dict[str, list[ValidationError]]:
    """Validate policy files; return the findings of the invalid ones by path."""

    def check(path: str) -> tuple[str, list[ValidationError]]:
        result: list[ValidationError] = []
        for first, text in _parts(files[path].decode()):
            result += [_shifted(finding, first) for finding in validate(text, schema)]
        return path, result

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {path: findings for path, findings in pool.map(check, files) if findings}


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Yield the parts of a file of permits, each with the index of its first permit in the file."""
    permits = text.split(_BETWEEN_PERMITS)
    if len(permits) <= _MOST_PERMITS:
        yield 0, text
        return
    for first in range(0, len(permits), _MOST_PERMITS):
        part = _BETWEEN_PERMITS.join(permits[first : first + _MOST_PERMITS])
        yield first, part if first == 0 else _BETWEEN_PERMITS + part


def _shifted(finding: ValidationError, first: int) -> ValidationError:
    return ValidationError(f"policy{finding.place + first}", finding.message) if finding.place >= 0 else finding
