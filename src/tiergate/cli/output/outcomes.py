"""Outcomes, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.cli.output.console import print_columns, print_line
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.client import OutcomeMinute


def print_recorded(feature: str, *, replayed: bool) -> None:
    """Print that an outcome was counted."""
    print_line(f"counted for {feature}" + (", before" if replayed else ""))


def recorded_json(feature: str, *, replayed: bool) -> bytes:
    """Return that an outcome was counted, as JSON."""
    return encode({"feature": feature, "replayed": replayed})


def print_minutes(feature: str, minutes: Sequence[OutcomeMinute]) -> None:
    """Print a table of minutes."""
    if not minutes:
        print_line(f"no outcomes of {feature}")
        return
    rows = [("minute", "requests", "failed", "slow")]
    for one in minutes:
        slow = ", ".join(f"{count} over {latency} ms" for latency, count in sorted(one.slow.items()))
        rows.append((one.minute.replace(":00.000Z", "Z"), str(one.requests), str(one.failed), slow or "-"))
    print_columns(rows)


def minutes_json(minutes: Sequence[OutcomeMinute]) -> bytes:
    """Return minutes as JSON."""
    return encode(
        [
            {
                "minute": one.minute,
                "requests": one.requests,
                "failed": one.failed,
                **({"slow": {str(latency): count for latency, count in sorted(one.slow.items())}} if one.slow else {}),
            }
            for one in minutes
        ]
    )
