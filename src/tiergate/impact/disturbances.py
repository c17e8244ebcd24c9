"""Which rules a change can concern: those that changed, and those that name or read something that changed.

All other rules are the same on both sides, and so come to the same wherever the facts and entities are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.impact.bearers import Names
from tiergate.impact.readings import Reading, read
from tiergate.impact.rulebook import changed_rules
from tiergate.naming import is_id, is_subject_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tiergate.impact.rulebook import Rule, Rulebook
    from tiergate.model import Feature

__all__ = ["Disturbance", "disturbance", "disturbed", "obstacle"]

_MOST_NAMES: Final = 60
_MOST_COMPARED: Final = 8
_SOMEBODY: Final = "somebody"


class Disturbance(NamedTuple):
    """Rules to decide with everybody whom they can tell apart: those of one feature, or all.

    `reading`: what they compare with. `names`: whom they know. `users`: users inside a subject whom they may know.
    `items`: the items and versions that they name.
    """

    rules: tuple[Rule, ...]
    reading: Reading
    names: tuple[Names, ...]
    users: tuple[str, ...]
    items: frozenset[str]

    @property
    def obstacle(self) -> str:
        """Why all of them together are not decided at every boundary; nothing where they are."""
        if any(len(numbers) > _MOST_COMPARED for numbers in self.reading.numbers.values()):
            return f"rules compare one thing with more than {_MOST_COMPARED} numbers"
        return ""


def disturbed(
    old: Rulebook, new: Rulebook, changed_items: Collection[str], changed_features: Collection[str]
) -> list[Rule]:
    """The rules of both sides that a change can concern, each once."""
    gone, come = changed_rules(old, new)
    rules = [*gone, *come]
    everything = (
        old.schema != new.schema
        or old.own != new.own
        or any(
            book.names("Item", changed_items)
            or book.names("Feature", changed_features)
            or book.names("Tag", changed_features)
            for book in (old, new)
        )
    )
    for rule in (*old.rules, *new.rules):
        named = {ref.partition("/")[2].partition("@")[0] for ref in rule.named("Item")}
        if everything or not named.isdisjoint(changed_items) or not rule.named("Feature").isdisjoint(changed_features):
            rules.append(rule)
    return list({(rule.id, rule.meaning): rule for rule in rules}.values())


def disturbance(rules: Iterable[Rule], sides: Iterable[Feature]) -> Disturbance:
    """What of these rules concerns a feature, as the one or the other side has it."""
    listed = list(sides)
    found = tuple(rule for rule in rules if any(rule.concerns(side) for side in listed))
    reading = Reading()
    for rule in found:
        reading.add(read(rule.policy))
    items = {it for rule in found for it in rule.named("Item")}
    users = {it for rule in found for it in rule.named("User")}
    return Disturbance(
        found, reading, tuple(_names(found, reading)), (*sorted(users), _SOMEBODY) if found else (), frozenset(items)
    )


def obstacle(rule: Rule) -> str:
    """Why deciding does not show all that a rule can come to; nothing where it does."""
    return next(iter(read(rule.policy).obstacles), "")


def _names(rules: Iterable[Rule], reading: Reading) -> list[Names]:
    """Nobody in particular, those whom rules name, and those with the tags and attributes whose texts they hold."""
    found = [Names()]
    for rule in rules:
        found += [Names(customer=it) for it in sorted(rule.named("Customer"))]
        found += [Names(subscription=it) for it in sorted(rule.named("Subscription"))]
    texts = sorted(reading.texts - reading.keys)
    found += [Names(customer=it) for it in texts if is_subject_id(it)]
    found += [Names(tags=(it,)) for it in texts if is_id(it)]
    found += [Names(tags=tuple(it for it in texts if is_id(it)))]
    found += [Names(attributes=((key, it),)) for key in sorted(reading.keys) for it in (*texts, "another")]
    return list(dict.fromkeys(found))[:_MOST_NAMES]
