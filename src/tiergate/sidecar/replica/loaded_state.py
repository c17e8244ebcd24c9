"""The state of file mode, as `state.json` records it: the active publication, and the files that it was made of."""

from __future__ import annotations

from typing import Final

import msgspec

from tiergate.model import Instant, Problem

FORMAT: Final = 1
"""The format of `state.json`; records of other formats are ignored."""


class FileStamp(msgspec.Struct, frozen=True, array_like=True):
    """A file as `stat` sees it, links followed: its path as given, size, time of change in nanoseconds, and inode."""

    path: str
    size: int
    mtime_ns: int
    inode: int


class LoadedFiles(msgspec.Struct, frozen=True):
    """Files that were loaded: their stamps when reading began, and the digest of their content.

    `maker` is the digest of what Tiergate itself contributes; `digest` depends on it too.
    """

    stamps: tuple[FileStamp, ...]
    digest: str
    maker: str


class ReplicaFile(msgspec.Struct, frozen=True):
    """A replica as it was built: its file name, its size in bytes, the SHA-256 of its bytes in hex, and its counts.

    `most_held` is the largest sum of item quantities of one customer, `most_overridden` that of override numbers, in
    units: no customer's total is above `most_held` × (the largest number of the catalog) + `most_overridden`.
    `quarantined`: the number of subjects with an earlier record, or none, because their own has `problems`; these are
    the first problems.
    """

    name: str
    size: int
    sha256: str
    customers: int
    subscriptions: int
    most_held: int
    most_overridden: int
    quarantined: int = 0
    problems: tuple[Problem, ...] = ()


class LoadedState(msgspec.Struct, frozen=True, kw_only=True):
    """A publication of file mode: a bundle, and the replica that was validated against its index.

    `index_digest` is of that index. `published_at`: when this publication became active.
    """

    format: int = FORMAT
    publication: int
    published_at: Instant
    revision: str
    index_digest: str
    replica: ReplicaFile
    catalog: LoadedFiles
    subjects: LoadedFiles
