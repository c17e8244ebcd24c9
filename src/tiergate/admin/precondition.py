"""The version of a resource that a change expects: optimistic locking without HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from tiergate.errors import PreconditionError


@dataclass(frozen=True, slots=True)
class Precondition:
    """What a change expects of the stored resource.

    `etags`: the versions that are acceptable, as `StoredStamp.etag` counts them; `None`: any. `must_exist`: the change
    replaces a resource and never creates one. `must_not_exist`: it creates one and never replaces it.
    """

    etags: tuple[int, ...] | None = None
    must_exist: bool = False
    must_not_exist: bool = False

    def check(self, kind: str, id_: str, etag: int) -> None:
        """Raise `PreconditionError` unless the stored version is expected. Call it in the transaction of the change."""
        if self.must_not_exist or (self.etags is not None and etag not in self.etags):
            raise PreconditionError(kind, id_, etag)


ANY_VERSION = Precondition()
MUST_NOT_EXIST = Precondition(must_not_exist=True)
