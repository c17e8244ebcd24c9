"""The values that use cases return: JSON data with the version it was read at, pages, and results of writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiergate.catalog import PlainData

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.store.subjects import Stamp

Data = dict[str, PlainData]
"""A JSON object in the form of the files and the API."""


@dataclass(frozen=True, slots=True)
class View:
    """A stored resource as JSON data, without the version and dates of `stamp`.

    `changed_since_stamp`: the data is not what it was when the version was written, because time passed.
    """

    data: Data
    stamp: Stamp
    changed_since_stamp: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `next`: the sort key of its last entry if more entries follow."""

    items: Sequence[View]
    next: str | None


@dataclass(frozen=True, slots=True)
class SubjectResult:
    """The result of a write of a customer, a subscription or a part of one.

    `data`: the resource, `None` if there is none to show. `etag`: the version of the subject, `None` if it does not
    exist. `stamp`: version and dates that belong to the data. `applied`: `None` for a write without `as_of`.
    """

    data: Data | None = None
    etag: int | None = None
    stamp: Stamp | None = None
    created: bool = False
    applied: bool | None = None
