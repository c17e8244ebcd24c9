"""The result of a replay: whether the decision is the same, its explanation, and what would differ today."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate import __version__
from tiergate.cli.output.console import print_line, print_section, print_table, warn
from tiergate.cli.output.decision import print_answer
from tiergate.cli.output.errors import print_json_bytes
from tiergate.client import read_answer, read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.cli.replay_sources import ReplayResult
    from tiergate.impact.replay.decision_log_reader import RecordedDecision

_PROVENANCE = frozenset({"publication", "revision", "valid_until", "stale"})
"""The members of a decision that name what made it, and for how long it is valid."""

_Difference = tuple[str, str, str]


def is_same(recorded: RecordedDecision, result: ReplayResult) -> bool:
    """Return whether a decision equals the recorded one, however its log was reformatted."""
    return not _differences(recorded.decision, bytes(result.decision))


def print_replay(recorded: RecordedDecision | None, result: ReplayResult, now: ReplayResult | str | None) -> None:
    """Print a replay as text; `now` is today's decision, or why there is none."""
    if recorded is not None:
        _print_comparison(recorded, result)
    if result.redacted:
        warn("personal data was erased since: a rule that reads it may decide differently", "yellow")
    _print_result(result)
    if isinstance(now, str):
        print_section("today: cannot be decided", [("", now)])
    elif now is not None:
        differences = _differences(bytes(result.decision), bytes(now.decision))
        differs = any(name not in _PROVENANCE for name, _, _ in differences)
        print_line()
        print_line("today" if differs else "today: same decision", "bold")
        if differs:
            _print_result(now)
            print_section("differences", _rows(differences))
        else:
            print_table(_rows(differences))


def _print_comparison(recorded: RecordedDecision, result: ReplayResult) -> None:
    differences = _differences(recorded.decision, bytes(result.decision))
    if recorded.decision == bytes(result.decision):
        print_line(f"{recorded.id}: same decision, byte for byte", "green")
    elif not differences:
        print_line(f"{recorded.id}: same decision; the JSON of the log was reformatted", "green")
    else:
        print_line(f"{recorded.id}: different decision", "bold red")
        print_table(_rows(differences))
        warn(_cause(recorded, result), "yellow")
    print_line()


def _print_result(result: ReplayResult) -> None:
    print_answer(read_answer(read_json(bytes(result.decision))), ("at", result.at))
    if result.sentences:
        print_line()
        for sentence in result.sentences:
            print_line(sentence)


def _cause(recorded: RecordedDecision, result: ReplayResult) -> str:
    basis = recorded.basis
    if result.redacted:
        return "parts of its record were erased since"
    if basis is None:
        return "the line does not have what the decision was made from"
    if basis.errors:
        return f"its evaluation failed then: {basis.errors[0]}"
    if basis.version != __version__:
        return f"Tiergate {basis.version} made it; this is {__version__}"
    return "it was made from other data: other subjects, or another store"


def _differences(before: bytes, after: bytes) -> list[_Difference]:
    """Return the members that differ between two decisions: name, and both as JSON; a dash for a missing member.

    Spaces, the order of members and trailing zeros are no difference: tools that ship or query logs rewrite them.
    """
    read = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

    def members(decision: bytes) -> dict[str, bytes]:
        outer = {name: bytes(raw) for name, raw in read(decision).items()}
        inner = read(outer.pop("entitlement"))
        return {**{f"entitlement.{name}": bytes(raw) for name, raw in inner.items()}, **outer}

    old, new = members(before), members(after)
    return [
        (name, old.get(name, b"-").decode(), new.get(name, b"-").decode())
        for name in old | new
        if name not in old or name not in new or not _is_equal(read_json(old[name]), read_json(new[name]))
    ]


def _is_equal(left: object, right: object) -> bool:
    """Return whether two values of JSON are equal: 5 and 5.0 are, 1 and true are not."""
    match left, right:
        case dict(), dict():
            return left.keys() == right.keys() and all(_is_equal(left[name], right[name]) for name in left)
        case list(), list():
            return len(left) == len(right) and all(map(_is_equal, left, right))
        case _:
            return left == right and isinstance(left, bool) is isinstance(right, bool)


def _rows(differences: Sequence[_Difference]) -> list[tuple[str, str]]:
    return [(name, f"{before} → {after}") for name, before, after in differences]


def print_replay_json(recorded: RecordedDecision | None, result: ReplayResult, now: ReplayResult | str | None) -> None:
    """Print a replay as one JSON document."""

    def differing(before: bytes, after: bytes) -> dict[str, list[msgspec.Raw | None]]:
        return {
            name: [None if text == "-" else msgspec.Raw(text.encode()) for text in texts]
            for name, *texts in _differences(before, after)
        }

    decision = bytes(result.decision)
    document: dict[str, object] = {}
    if recorded is not None:
        document["id"] = recorded.id
        document["exact"] = recorded.decision == decision
        document["same"] = is_same(recorded, result)
        document["recorded"] = msgspec.Raw(recorded.decision)
        document["differences"] = differing(recorded.decision, decision)
    document["replayed"] = result
    if isinstance(now, str):
        document["today"] = {"error": now}
    elif now is not None:
        document["today"] = msgspec.structs.asdict(now) | {"differences": differing(decision, bytes(now.decision))}
    print_json_bytes(msgspec.json.encode(document))
