"""The status of features that a suite, a test or a request sets; of all others it is operational."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.catalog.reading.document import shorten
from tiergate.catalog.reading.fields import find_suggestion
from tiergate.model import Status

if TYPE_CHECKING:
    from collections.abc import Mapping as ReadOnly

    from tiergate.catalog import Fields, TextReport
    from tiergate.model import Feature

StatusFixtures = dict[str, Status]
"""Statuses by feature."""

NO_STATUS: Final[StatusFixtures] = {}
"""The statuses of a suite or test without any."""


def read_status(parent: Fields, features: ReadOnly[str, Feature], report: TextReport) -> StatusFixtures:
    """Read the key `status` of a suite or a test, if there is one."""
    written = parent.mapping("status")
    if written is None:
        return NO_STATUS
    found: StatusFixtures = {}
    for id_ in written.entries:
        if id_ not in features:
            near = find_suggestion(id_, features, report)
            report.add(written.key_place(id_), "unknown-feature", f"no feature `{shorten(id_)}`", near)
        status = written.choice(id_, Status)
        if status is not None:
            found[id_] = status
    return found
