"""The replica of all subjects: one SQLite file, read a record at a time.

The file is built whole by `replica_builder`, never changed afterwards, and opened read-only, so that it needs no locks
and no journal. Memory stays bounded however many subjects there are: SQLite keeps a few megabytes of pages, everything
else is the operating system's to keep or drop. Decoded records are kept, bounded, by the engine.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from tiergate.errors import QuarantinedError, ReplicaError, UnreadableError
from tiergate.model import Subject, SubjectRecord, SubjectType
from tiergate.sidecar.replica.absence_proof import prove_absent
from tiergate.sidecar.replica.sqlite_errors import replica_error

if TYPE_CHECKING:
    from pathlib import Path

FORMAT: Final = 1
"""The layout of the file; another one is not read."""

QUARANTINED: Final = b""
"""What stands in place of the record of a subject whose own could never be used."""

_PAGE_CACHE_KIB: Final = 16 * 1024
_BY_CUSTOMER: Final = "SELECT record FROM customers WHERE id = ?"
_BY_SUBSCRIPTION: Final = "SELECT record FROM customers WHERE id = (SELECT customer FROM subscriptions WHERE id = ?)"


class Replica:
    """All subjects of one file. To be used by one thread at a time.

    `damaged` turns true when a read fails: the file must then be built anew. `size` is in bytes.
    """

    def __init__(self, path: Path) -> None:
        """Open the file that `replica_builder` made.

        Raises:
            ReplicaError: it is missing, unreadable, or no replica of this format.
        """
        self.path = path
        self.damaged = False
        self._decode = msgspec.msgpack.Decoder(SubjectRecord).decode
        # `immutable`: nobody writes it, so neither locks nor a journal are looked for.
        uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        try:
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise ReplicaError(f"replica `{path}` cannot be opened: {error}") from None
        try:
            self.size = path.stat().st_size
            self._connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
            self._connection.execute("PRAGMA mmap_size = 0")
            meta = dict(self._connection.execute("SELECT key, value FROM meta"))
            if meta.get("format") != FORMAT:
                raise ReplicaError(f"replica `{path}` has format `{meta.get('format')}`, not `{FORMAT}`")
            self.customers: int = meta["customers"]
            self.subscriptions: int = meta["subscriptions"]
            self._find = self._connection.cursor().execute
            self._find(_BY_CUSTOMER, ("",)).fetchone()
        except (sqlite3.Error, OSError, KeyError, TypeError) as error:
            self._connection.close()
            raise ReplicaError(f"replica `{path}` cannot be read: {error}") from None
        except ReplicaError:
            self._connection.close()
            raise

    def find(self, subject: Subject) -> SubjectRecord | None:
        """The record of the customer, or of the customer who holds the subscription; `None` where there is none.

        Raises:
            QuarantinedError: the subject has no record that could be used.
            ReplicaError: the file is torn.
            UnreadableReplicaError: the system cannot read it now.
        """
        by_customer = subject.type is SubjectType.CUSTOMER
        try:
            row = self._find(_BY_CUSTOMER if by_customer else _BY_SUBSCRIPTION, (subject.id,)).fetchone()
            if row is None:
                prove_absent(self._find, subject, "record", self._read)
                return None
            if row[0] == QUARANTINED:
                raise QuarantinedError(f"the record of {subject.type} `{subject.id}` has problems: it is in quarantine")
            record = self._decode(row[0])
            if by_customer and record.customer.id != subject.id:
                raise ReplicaError("a record is of another subject")
        except QuarantinedError:
            raise
        except (sqlite3.Error, msgspec.MsgspecError, UnicodeDecodeError, ReplicaError) as error:
            fault = replica_error(self.path, error)
            self.damaged = self.damaged or not (isinstance(fault, UnreadableError) and fault.transient)
            raise fault from None
        return record

    def _read(self, content: bytes) -> SubjectRecord | None:
        return None if content == QUARANTINED else self._decode(content)

    def close(self) -> None:
        """Close the file. Nothing can be found any more."""
        self._connection.close()

    def __del__(self) -> None:
        if hasattr(self, "_connection"):
            self._connection.close()
