"""Read metered usage in a test file: by subject, then by feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.catalog import Fields
from tiergate.catalog.reading.document import Mapping, shorten
from tiergate.catalog.reading.fields import find_suggestion, read_units
from tiergate.engine import MeteredUsage

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Mapping as ReadOnly

    from tiergate.catalog import TextReport
    from tiergate.catalog.reading.document import Node
    from tiergate.model import Feature, Subject

USAGE_KEYS: Final = frozenset({"used", "user_used", "total_used"})
"""The keys of the usage of one feature."""


class UsageFixtures:
    """The usage of subjects, in units; that of a test takes precedence over its suite's."""

    def __init__(self, written: ReadOnly[tuple[str, str], MeteredUsage]) -> None:
        self._written = written

    def within(self, suite: UsageFixtures) -> UsageFixtures:
        """Return this usage of a test merged with that of its suite."""
        return UsageFixtures({**suite._written, **self._written})

    def of(self, name: str, subject: Subject, feature: str) -> MeteredUsage | None:
        """Return the usage of a subject: by its name in the test, else by its id; `None` if unknown."""
        return self._written.get((name, feature)) or self._written.get((subject.id, feature))


NO_USAGE: Final = UsageFixtures({})
"""The usage of a suite or test without any."""


def read_usage(
    parent: Fields, features: ReadOnly[str, Feature], known: Collection[str], report: TextReport
) -> UsageFixtures:
    """Read the key `usage`, if there is one; the subjects must be `known` names or ids."""
    subjects = parent.mapping("usage")
    if subjects is None:
        return NO_USAGE
    result: dict[tuple[str, str], MeteredUsage] = {}
    for name in subjects.entries:
        if name not in known:
            near = find_suggestion(name, known, report)
            report.add(subjects.key_place(name), "unknown-subject", f"no subject `{shorten(name)}` here", near)
        used = subjects.mapping(name)
        if used is not None:
            result.update({(name, id_): usage for id_ in used.entries if (usage := _read(id_, used, features, report))})
    return UsageFixtures(result)


def _read(id_: str, used: Fields, features: ReadOnly[str, Feature], report: TextReport) -> MeteredUsage | None:
    feature = features.get(id_)
    if feature is None:
        near = find_suggestion(id_, features, report)
        report.add(used.key_place(id_), "unknown-feature", f"no feature `{shorten(id_)}`", near)
        return None
    if feature.metered is None:
        message = f"`{id_}` is not metered: write its usage in a request, as `used`"
        report.add(used.key_place(id_), "not-metered", message)
        return None
    node: Node = used.entries[id_]
    if not isinstance(node, Mapping):
        units = read_units(node, used.at(id_), feature.scale, report)
        return None if units is None else MeteredUsage(units)
    fields = Fields.of(node, used.at(id_), report, USAGE_KEYS)
    if fields is None:
        return None
    units_by_key = {key: fields.units(key, feature.scale) or 0 for key in sorted(USAGE_KEYS)}
    return MeteredUsage(units_by_key["used"], units_by_key["user_used"], units_by_key["total_used"])
