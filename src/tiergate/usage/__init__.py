"""Usage without I/O: calendar windows."""

from __future__ import annotations

from tiergate.usage.calendar_windows import CalendarWindows
