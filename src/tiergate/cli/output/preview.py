"""The result of a preview: what a change does to customers, and which recorded checks it would deny."""

from __future__ import annotations

from typing import Any, NamedTuple

from tiergate.cli.output.changeset import print_changes
from tiergate.cli.output.console import print_line
from tiergate.cli.output.errors import print_json_bytes
from tiergate.cli.output.impact import print_impact
from tiergate.wire.json import encode


class PreviewResult(NamedTuple):
    """The impact; the outcome that a control plane returned; and the checks of decision logs that would be denied."""

    impact: dict[str, Any] | None
    outcome: dict[str, Any]
    denied: dict[str, Any] | None = None

    @property
    def has_losses(self) -> bool:
        """Whether a customer loses something or gets less."""
        reduces = self.impact is not None and bool(self.impact["customers"]["take"])
        return reduces or (self.denied is not None and bool(self.denied["checks"]))


def print_preview(result: PreviewResult, *, as_json: bool) -> None:
    """Print the result."""
    impact, outcome, denied = result
    if as_json:
        parts = {"impact": impact, "denied": denied}
        print_json_bytes(encode(outcome | {name: part for name, part in parts.items() if part is not None}))
        return
    print_changes(outcome.get("changes", ()))
    if impact is not None:
        print_impact(impact)
        if "accept_loss" in outcome:
            print_line(f"to accept exactly this loss: --accept-loss {outcome['accept_loss']}")
    elif outcome.get("changes"):
        print_line("nothing is published yet: no customer can lose anything")
    else:
        print_line("nothing changes")
    if denied is not None:
        checks = "check that was" if denied["checks"] == 1 else "checks that were"
        times = f"{denied['times']:,} times in the log"
        print_line(f"{denied['checks']:,} recorded {checks} allowed would be denied ({times})")
        for example in denied["examples"]:
            print_line(f"    {example['at']}: {encode(example['request']).decode()}: {example['reason']}")
