"""The edited files of the users' rules, and the edited roles, as rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select, update

from tiergate.errors import NotFoundError
from tiergate.store import tombstones
from tiergate.store.tables import POLICY_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement
    from sqlmodel import Session

    from tiergate.model import Instant
    from tiergate.store.units import WriteUnit

RULE_KINDS: Final = ("policies", "schemas", "entities")
"""The kinds of the users' rules, as in the model's `Rules`."""

ROLES: Final = "roles"
"""The kind of the roles, and the name of the one file of that kind."""


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """An edited file."""

    kind: str
    name: str
    text: str
    etag: int
    updated_at: Instant

    @property
    def key(self) -> str:
        """Kind and name: `policies/eu`."""
        return f"{self.kind}/{self.name}"


def policy_files(session: Session) -> list[PolicyFile]:
    """Read all files, by kind and name."""
    rows = session.connection().execute(_SELECT.order_by(POLICY_FILES.c.kind, POLICY_FILES.c.name))
    return [PolicyFile(*row) for row in rows]


def find_policy_file(session: Session, kind: str, name: str) -> PolicyFile:
    """Read one file.

    Raises:
        NotFoundError: if there is none.
    """
    row = session.connection().execute(_SELECT.where(*_key(kind, name))).one_or_none()
    if row is None:
        raise NotFoundError("file of the rules" if kind != ROLES else "edited table of roles", f"{kind}/{name}")
    return PolicyFile(*row)


def put_policy_file(unit: WriteUnit, kind: str, name: str, text: str) -> PolicyFile:
    """Write a file, new or known. An equal one is not written."""
    connection = unit.session.connection()
    row = connection.execute(_SELECT.where(*_key(kind, name))).one_or_none()
    if row is None:
        id_ = f"{kind}/{name}"
        etag = tombstones.first_etags(connection, tombstones.RULE, [id_])[id_]
        file = PolicyFile(kind, name, text, etag, unit.now)
        connection.execute(insert(POLICY_FILES), [asdict(file)])
        return file
    if row.text == text:
        return PolicyFile(*row)
    values = {"text": text, "etag": row.etag + 1, "updated_at": unit.now}
    connection.execute(update(POLICY_FILES).where(*_key(kind, name)).values(values))
    return PolicyFile(kind, name, text, row.etag + 1, unit.now)


def write_file_changes(unit: WriteUnit, changes: Mapping[str, str | None]) -> None:
    """Write the new text of files, by kind and name (`policies/eu`); `None` removes a file."""
    for key, text in changes.items():
        kind, _, name = key.partition("/")
        if text is None:
            remove_files(unit.session, [(kind, name)])
        else:
            put_policy_file(unit, kind, name, text)


def remove_files(session: Session, files: Iterable[tuple[str, str]]) -> None:
    """Remove files by kind and name; missing ones are ignored."""
    connection = session.connection()
    for kind, name in files:
        row = connection.execute(_SELECT.where(*_key(kind, name))).one_or_none()
        if row is not None:
            tombstones.bury(connection, tombstones.RULE, {f"{kind}/{name}": row.etag})
            connection.execute(delete(POLICY_FILES).where(*_key(kind, name)))


def _key(kind: str, name: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return POLICY_FILES.c.kind == kind, POLICY_FILES.c.name == name


_SELECT = select(*(POLICY_FILES.c[field.name] for field in fields(PolicyFile)))
