"""The files of a holder of leases in the data folder: its identity, and its journal.

    usage-leases/identity            the identity, a secret: who knows it can report for this sidecar (mode 0600)
    usage-leases/<digest>/           the journal of the holder with this identity (`journal_files`)

The content of a journal's record is a letter, and what follows:

    h   a record of the holder (`usage.journal_records`)
    v   what a reservation is of, before the holder's record of it (`book_records.Reservation`)
    n   nothing: once it is on disk, all before it is
    s   the beginning of a snapshot: its numbers; p: a part of its lists; e: its end

A snapshot has parts because a record is limited, and a state is not.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.errors import JournalError
from tiergate.process.atomic_files import replace_file
from tiergate.sidecar.usage.book_records import Reservation
from tiergate.sidecar.usage.book_records import decode_record as decode_book_record
from tiergate.sidecar.usage.book_records import encode_record as encode_book_record
from tiergate.sidecar.usage.journal import Journal
from tiergate.usage.holder import Holder, HolderLimits
from tiergate.usage.holder_state import join_snapshot
from tiergate.usage.journal_records import Snapshot, decode_record, encode_record
from tiergate.usage.leases import holder_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tiergate.usage.journal_records import JournalRecord

NOTHING: Final = b"n"
"""A record that changes nothing."""

_IDENTITY_BYTES: Final = 24
_SHORTEST: Final = 22
_LONGEST: Final = 100


class Opened(NamedTuple):
    """A holder as its journal has it, and what its reservations are of."""

    holder: Holder
    journal: Journal
    notes: dict[str, Reservation]


def new_identity() -> str:
    """Return a new identity: 32 random characters."""
    return secrets.token_urlsafe(_IDENTITY_BYTES)


def read_identity(folder: Path) -> str | None:
    """Return the identity in a folder; `None` if there is none.

    Raises:
        JournalError: if it cannot be read, or is not one.
    """
    path = folder / "identity"
    try:
        identity = path.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise JournalError(str(path), f"cannot be read: {error}") from error
    if not _SHORTEST <= len(identity) <= _LONGEST:
        raise JournalError(str(path), "is not an identity: restore the file, or remove the folder with its usage")
    return identity


def write_identity(folder: Path, identity: str) -> None:
    """Write an identity durably, for the owner only. Raises `JournalError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(folder / "identity", f"{identity}\n".encode())
    except OSError as error:
        raise JournalError(str(folder), f"cannot be written: {error.strerror}") from error


def open_holder(folder: Path, identity: str, instance: bytes, *, budget: int, limits: HolderLimits) -> Opened:
    """Open the journal of an identity, and read the holder from it.

    Raises:
        JournalError: if it cannot be read.
    """
    holder = Holder(identity, instance, limits)
    notes: dict[str, Reservation] = {}
    reader = _Reader(holder, notes)
    path = folder / holder_name(identity)
    journal = Journal.open(path, reader.read, budget=budget)
    for id_ in [id_ for id_ in notes if id_ not in holder.state.reservations]:
        del notes[id_]
    return Opened(holder, journal, notes)


def encode_holder_record(record: JournalRecord) -> bytes:
    """Encode a record of the holder for the journal."""
    return b"h" + encode_record(record)


def encode_note(reservation: Reservation) -> bytes:
    """Encode what a reservation is of for the journal."""
    return b"v" + encode_book_record(reservation)


def encode_snapshot(parts: Iterable[Snapshot], notes: Sequence[Reservation]) -> Iterator[bytes]:
    """Encode a snapshot in parts, as `HolderState.freeze` returns them."""
    kind = b"s"
    for part in parts:
        yield kind + encode_record(part)
        kind = b"p"
    yield b"e"
    yield from map(encode_note, notes)


class _Reader:
    """Applies the records of a journal."""

    def __init__(self, holder: Holder, notes: dict[str, Reservation]) -> None:
        self._holder = holder
        self._notes = notes
        self._parts: list[Snapshot] = []

    def read(self, content: bytes) -> None:
        kind, rest = content[:1], content[1:]
        match kind:
            case b"h":
                self._holder.apply(decode_record(rest))
            case b"v":
                note = decode_book_record(rest)
                if isinstance(note, Reservation):
                    self._notes[note.id] = note
            case b"s" | b"p":
                part = decode_record(rest)
                if isinstance(part, Snapshot):
                    self._parts.append(part)
            case b"e":
                self._holder.apply(join_snapshot(self._parts))
                self._parts = []
            case b"n":
                pass
            case _:
                raise ValueError(f"a record of an unknown kind {kind!r}")
