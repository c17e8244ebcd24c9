"""Keys of a replica that are torn: a subject who is there is never unknown."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.signing import record
from tests.unit.sidecar.replica.test_writer import build
from tiergate.errors import ReplicaError
from tiergate.model import Customer, Subject, SubjectType, Subscription
from tiergate.sidecar.replica.file_source.subject_staging import build_replica
from tiergate.sidecar.replica.reader import Replica
from tiergate.sidecar.replica.writer import ReplicaWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_COUNT = 600
"""Enough for a tree with inner pages, whose cells are rows too."""

Finds = dict[Subject, bool | None]
"""By subject: whether it is found; none for an error."""


def _all_of(find: Callable[[Subject], object]) -> Finds:
    found: Finds = {}
    for number in range(_COUNT):
        for subject in (Subject(f"c{number:05}"), Subject(f"sub-c{number:05}", SubjectType.SUBSCRIPTION)):
            try:
                found[subject] = find(subject) is not None
            except ReplicaError:
                found[subject] = None
    return found


def _from_files(path: Path) -> Callable[[], Finds]:
    subjects: list[Customer | Subscription] = []
    for number in range(_COUNT):
        one = record(f"c{number:05}")
        subjects += [one.customer, *one.subscriptions]
    build_replica(path, subjects)
    return lambda: _all_of(Replica(path).find)


def _from_a_store(path: Path) -> Callable[[], Finds]:
    build(path, *(record(f"c{number:05}") for number in range(_COUNT)))

    def look() -> Finds:
        with closing(ReplicaWriter(path)), closing(Replica(path, followed=True)) as replica:
            return _all_of(replica.find)

    return look


@pytest.mark.parametrize("make", [_from_files, _from_a_store])
@pytest.mark.parametrize("flip", [0x80, 0x01])
@pytest.mark.parametrize("id_", ["c00000", "c00123", "c00299", "c00300", "c00599", "sub-c00250", "sub-c00599"])
def test_a_torn_key_hides_nobody(
    tmp_path: Path, make: Callable[[Path], Callable[[], Finds]], flip: int, id_: str
) -> None:
    """Wherever the id of a subject stands in the file: it is found, or an error, and so is everybody else."""
    path = tmp_path / "1.sqlite"
    look = make(path)
    whole = path.read_bytes()
    places = [match.start() for match in re.finditer(rb"(?<![-a-z])" + id_.encode(), whole)]
    assert len(places) >= 2
    for place in places:
        torn = bytearray(whole)
        torn[place] ^= flip
        path.write_bytes(torn)
        found = look()
        assert False not in found.values(), [subject for subject, is_there in found.items() if is_there is False]


@pytest.mark.parametrize("make", [_from_files, _from_a_store])
def test_who_is_not_there_is_unknown(tmp_path: Path, make: Callable[[Path], Callable[[], Finds]]) -> None:
    """Before, between and after those who are; in an empty replica too."""
    path = tmp_path / "1.sqlite"
    make(path)()
    strangers = ["a", "c00123x", "z"]
    subjects = [Subject(id_, type_) for id_ in strangers for type_ in SubjectType]
    if make is _from_files:
        assert [Replica(path).find(subject) for subject in subjects] == [None] * 6
    else:
        with closing(ReplicaWriter(path)), closing(Replica(path, followed=True)) as replica:
            assert [replica.find(subject) for subject in subjects] == [None] * 6
            assert not replica.damaged
