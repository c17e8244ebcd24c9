"""What came of a replay, told: whether it is the same, why it was so, and what would be different today."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate import __version__
from tiergate.cli.output.console import say, say_table, warn
from tiergate.cli.output.decision import lines, verdict
from tiergate.client import read_answer, read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.cli.replay_sources import Replayed
    from tiergate.impact.replay.decision_log_reader import RecordedDecision

_BY_WHAT = frozenset({"publication", "revision", "valid_until", "stale"})
"""The members of a decision that say by what it was made, and for how long it holds."""


def is_same(recorded: RecordedDecision, made: Replayed) -> bool:
    """Say whether a decision came out as it was recorded, in whatever form its log was handed on."""
    return not _differences(recorded.decision, made.decision)


def tell_replay(recorded: RecordedDecision | None, made: Replayed, now: Replayed | str | None) -> None:
    """Write it for a person; `now` is what it would be today, or why that cannot be said."""
    if recorded is not None:
        if recorded.decision == made.decision:
            say(f"{recorded.id}: same decision, byte for byte", "green")
        elif is_same(recorded, made):
            say(f"{recorded.id}: same decision; the JSON of the log was reformatted", "green")
        else:
            say(f"{recorded.id}: different decision", "bold red")
            say_table(_rows(_differences(recorded.decision, made.decision)))
            warn(_reasons_to_differ(recorded, made), "yellow")
        say()
    if made.redacted:
        warn("what described a person was erased since: a rule that reads it may decide otherwise", "yellow")
    _tell_one(made)
    if isinstance(now, str):
        say()
        say("today: cannot be decided", "bold")
        say_table([("", now)])
    elif now is not None:
        found = _differences(made.decision, now.decision)
        differs = any(name not in _BY_WHAT for name, _, _ in found)
        say()
        say("today" if differs else "today: same decision", "bold")
        if differs:
            _tell_one(now)
            say()
            say("differences", "bold")
        if found:
            say_table(_rows(found))


def _tell_one(made: Replayed) -> None:
    answer = read_answer(read_json(made.decision))
    say(verdict(answer), "bold green" if answer.allowed else "bold red")
    say_table([("at", made.at), *lines(answer)])
    if made.sentences:
        say()
        for sentence in made.sentences:
            say(sentence)


def _reasons_to_differ(recorded: RecordedDecision, made: Replayed) -> str:
    basis = recorded.basis
    if made.redacted:
        return "its record was erased in part since"
    if basis is not None and basis.errors:
        return f"it could not be evaluated then: {basis.errors[0]}"
    if basis is not None and basis.version != __version__:
        return f"it was made by Tiergate {basis.version}; this is {__version__}"
    if basis is None:
        return "the line does not say what it rested on"
    return "what it is made of now is not what it was made of: other subjects, or another store"


def _differences(before: bytes, after: bytes) -> list[tuple[str, str, str]]:
    """What two decisions say differently: its name, and both as JSON; a dash where one says nothing.

    Spaces, the order of members and zeros behind a point are no difference: whatever ships or queries logs rewrites
    them.
    """
    read = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

    def members(decision: bytes) -> dict[str, bytes]:
        found = {name: bytes(raw) for name, raw in read(decision).items()}
        inner = read(found.pop("entitlement"))
        return {**{f"entitlement.{name}": bytes(raw) for name, raw in inner.items()}, **found}

    old, new = members(before), members(after)
    names = [*old, *(name for name in new if name not in old)]
    return [
        (name, old.get(name, b"-").decode(), new.get(name, b"-").decode())
        for name in names
        if not _says_the_same(old.get(name), new.get(name))
    ]


def _says_the_same(one: bytes | None, other: bytes | None) -> bool:
    if one is None or other is None or one == other:
        return one == other
    return _is_equal(read_json(one), read_json(other))


def _is_equal(one: object, other: object) -> bool:
    """Whether two values of JSON are equal: 5 and 5.0 are, 1 and true are not."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(_is_equal(one[name], other[name]) for name in one)
        case list(), list():
            return len(one) == len(other) and all(map(_is_equal, one, other))
        case _:
            return one == other and isinstance(one, bool) is isinstance(other, bool)


def _rows(differences: Sequence[tuple[str, str, str]]) -> list[tuple[str, str]]:
    return [(name, f"{before} → {after}") for name, before, after in differences]


def say_replay(recorded: RecordedDecision | None, made: Replayed, now: Replayed | str | None) -> None:
    """Write it as one JSON document."""

    def differing(before: bytes, after: bytes) -> dict[str, list[msgspec.Raw | None]]:
        return {
            name: [None if text == "-" else msgspec.Raw(text.encode()) for text in (old, new)]
            for name, old, new in _differences(before, after)
        }

    def one(it: Replayed) -> dict[str, object]:
        return {"at": it.at, "decision": msgspec.Raw(it.decision), "sentences": it.sentences, "redacted": it.redacted}

    document: dict[str, object] = {}
    if recorded is not None:
        document["id"] = recorded.id
        document["exact"] = recorded.decision == made.decision
        document["same"] = is_same(recorded, made)
        document["recorded"] = msgspec.Raw(recorded.decision)
        document["differences"] = differing(recorded.decision, made.decision)
    document["replayed"] = one(made)
    if isinstance(now, str):
        document["today"] = {"error": now}
    elif now is not None:
        document["today"] = {**one(now), "differences": differing(made.decision, now.decision)}
    say(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
