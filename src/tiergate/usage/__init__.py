"""What counts use, without input or output: calendar windows."""

from __future__ import annotations

from tiergate.usage.windows import Windows

__all__ = ["Windows"]
