"""The languages that code is generated in."""

from __future__ import annotations

from enum import StrEnum


class Language(StrEnum):
    """A language of services."""

    PYTHON = "python"
    TYPESCRIPT = "typescript"
    GO = "go"
