"""Changed settings of metered features, and limits of their own, in words; a missing setting as its default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ANCHORS: Final = {
    "calendar": "the calendar",
    "subscription": "the subscription's anchor",
    "first_use": "the first use",
}
_LIMITS: Final = {"hard": "denied", "soft": "allowed"}
_SPENT: Final = {"allowance_first": "the allowance", "grants_first": "grants"}
_OFFLINE: Final = {"deny": "denied", "allow": "allowed"}
_AMOUNT_KEYS: Final = frozenset({"value", "per", "limit", "overage_max"})


def describe_metering(path: str, before: object, after: object) -> str | None:
    """Return the line of a changed setting of a feature, by its path in the file; `None` if it is another field.

    `before`, `after`: the values as plain data, `None` where the key is missing.
    """
    if path not in _SETTINGS:
        return None
    label, tell = _SETTINGS[path]
    return f"{label}: {tell(before)} → {tell(after)}"


def describe_amount(value: object) -> str | None:
    """Return a number with a kind of limit of its own in words; `None` if the value is none."""
    if not isinstance(value, dict) or "limit" not in value or not value.keys() <= _AMOUNT_KEYS:
        return None
    per = f" per {value['per']}" if "per" in value else ""
    above = f", at most {value['overage_max']} above" if "overage_max" in value else ""
    return f"{value['value']}{per}, {value['limit']} limit{above}"


def _word(words: Mapping[str, str], missing: str) -> Callable[[Any], str]:
    return lambda value: missing if value is None else words.get(value, str(value))


def _number(prefix: str, missing: str) -> Callable[[Any], str]:
    return lambda value: missing if value is None else f"{prefix}{value}"


def _rollover(value: Any) -> str:  # noqa: ANN401 - plain data of a file
    return "nothing" if value is None else f"at most {value['max']}"


def _period(value: Any) -> str:  # noqa: ANN401 - plain data of a file
    if isinstance(value, dict):
        return f"every {value['every']} {value['of']}s"
    return "never" if value == "never" else f"every {value}"


def _metered(value: Any) -> str:  # noqa: ANN401 - plain data of a file
    """Tell whether usage is counted, and all settings that are not the defaults."""
    if value is None:
        return "no"
    parts = [f"resets {_period(value['reset'])}"]
    for key, setting in value.items():
        if key != "reset":
            label, tell = _SETTINGS[f"metered/{key}"]
            parts.append(f"{label}: {tell(setting)}")
    return ", ".join(parts)


def _thresholds(value: Any) -> str:  # noqa: ANN401 - plain data of a file
    return "no level" if not value else ", ".join(map(str, value))


def _draws(value: Any) -> str:  # noqa: ANN401 - plain data of a file
    return "nothing" if value is None else f"{value['cost']} of {value['from']}"


_SETTINGS: Final[dict[str, tuple[str, Callable[[Any], str]]]] = {
    "metered": ("usage is counted", _metered),
    "metered/reset": ("usage resets", _period),
    "metered/reset/every": ("usage resets every", str),
    "metered/reset/of": ("usage resets by the", str),
    "metered/anchor": ("windows are counted from", _word(_ANCHORS, _ANCHORS["calendar"])),
    "metered/timezone": ("time zone", _word({}, "UTC")),
    "metered/limit": ("use above the limit", _word(_LIMITS, _LIMITS["hard"])),
    "metered/overage_max": ("most above the limit", _number("", "any amount")),
    "metered/rollover": ("carried over to the next window", _rollover),
    "metered/rollover/max": ("carried over to the next window", _number("at most ", "nothing")),
    "metered/late": ("late usage is accepted for", _word({}, "3 days")),
    "metered/spend": ("used up first", _word(_SPENT, _SPENT["allowance_first"])),
    "metered/offline": ("use without the control plane", _word(_OFFLINE, "as the limit says")),
    "metered/thresholds": ("somebody is told at", _thresholds),
    "draws": ("each unit draws", _draws),
    "draws/from": ("draws on", str),
    "draws/cost": ("each unit costs", str),
}
