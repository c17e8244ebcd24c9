"""Strict validation of compiled files, each by itself, on every core: Cedar works without holding Python's lock."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tiergate.cedar import Finding, validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.cedar import Schema

__all__ = ["validate_files"]


def validate_files(files: Mapping[str, bytes], schema: Schema) -> dict[str, list[Finding]]:
    """Validate policy files, and return what is wrong with those that are not valid, by path."""

    def check(path: str) -> tuple[str, list[Finding]]:
        return path, validate(files[path].decode(), schema)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {path: findings for path, findings in pool.map(check, files) if findings}
