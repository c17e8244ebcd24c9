"""Usage without I/O: windows, pools, and what counts against a limit."""

from __future__ import annotations

from tiergate.usage.calendar_windows import CalendarWindows
