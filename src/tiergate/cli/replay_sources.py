"""Sources that make a past decision again: a control plane, catalog files, or a sidecar's data folder.

Each returns the bytes of the decision, and its explanation in sentences.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.cli.local_engine import compile_engine, open_engine
from tiergate.engine.decision_inputs import DecisionBasis
from tiergate.errors import CheckError, SettingsError, SyncError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.local_engine import LocalEngine
    from tiergate.cli.shared_options import EngineFiles
    from tiergate.model import Check, Instant


class ReplayRequest(NamedTuple):
    """A decision to make again.

    `request` is the check's JSON. `publication` and `revision` are those that decided, none if unknown; `basis` is that
    of the line in the log, none without a log.
    """

    check: Check
    request: bytes
    at: Instant | None
    publication: int | None = None
    revision: str | None = None
    basis: DecisionBasis | None = None

    def today(self) -> ReplayRequest:
        """Return the same check for now: with the same usage, and decided by what is active."""
        usage = None if self.basis is None else self.basis.usage
        return ReplayRequest(self.check, self.request, None, basis=DecisionBasis(usage=usage))


class ReplayResult(msgspec.Struct):
    """A decision that was made again: its bytes, its instant, and why. `redacted`: parts of its record are erased."""

    decision: msgspec.Raw
    at: str
    sentences: tuple[str, ...]
    redacted: bool = False


class RemoteSource:
    """The history that a control plane keeps."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane

    def replay(self, request: ReplayRequest) -> ReplayResult:
        """Make a decision again.

        Raises:
            SettingsError, RequestError, SyncError: if the control plane cannot make it.
        """
        from tiergate.engine.decision_inputs import basis_json
        from tiergate.model import format_instant

        basis = request.basis
        if request.publication is not None and basis is not None and not basis.store:
            raise SettingsError(
                "control-plane", "a sidecar made the decision from files: give `--catalog` and `--subjects`"
            )
        members = {
            "at": None if request.at is None else format_instant(request.at),
            "publication": request.publication,
            "revision": request.revision,
            "basis": None if basis is None else msgspec.Raw(basis_json(basis)),
        }
        body: dict[str, object] = {"check": msgspec.Raw(request.request)}
        body |= {name: value for name, value in members.items() if value is not None}
        content = self._control_plane.post_json("/v1/replay", msgspec.json.encode(body))
        try:
            return msgspec.json.decode(content, type=ReplayResult)
        except msgspec.MsgspecError as error:
            raise SyncError(self._control_plane.url, f"cannot read the response: {error}") from None


class LocalSource:
    """A bundle and subjects on this machine."""

    def __init__(self, local: LocalEngine, setting: str, now: Instant) -> None:
        self._local = local
        self._setting = setting
        self._now = now

    def replay(self, request: ReplayRequest) -> ReplayResult:
        """Make a decision again.

        Raises:
            SettingsError, CheckError: if it cannot be made from these.
        """
        from tiergate.engine import build_reasoning, decision_json, reasoning_sentences
        from tiergate.engine.decision_inputs import BasisError, reproduce
        from tiergate.model import format_instant

        engine, check = self._local.engine, request.check
        if request.revision is not None and request.revision != engine.revision:
            detail = (
                f"has revision `{engine.revision}`, but `{request.revision}` made the decision: give the catalog and "
                "rules of that day"
            )
            raise SettingsError(self._setting, detail)
        basis = request.basis or DecisionBasis()
        record = self._local.subjects.find(check.subject) if basis.record is msgspec.UNSET else basis.record
        publication = engine.publication if request.publication is None else request.publication
        at = self._now if request.at is None else request.at
        try:
            explanation = reproduce(engine.bundle, check, at, basis, record, publication=publication)
        except BasisError as error:
            raise CheckError(f"basis.{error.field}", str(error)) from None
        feature = engine.index.features[check.feature]
        reasoning = build_reasoning(explanation, feature, record if basis.fetched else None, check.subject)
        decision = msgspec.Raw(decision_json(explanation.decision))
        return ReplayResult(decision, format_instant(at), tuple(reasoning_sentences(reasoning)))


ReplaySource = RemoteSource | LocalSource


@contextmanager
def open_local_source(
    files: EngineFiles, data: Path | None, request: ReplayRequest, now: Instant
) -> Iterator[LocalSource]:
    """Open files or a sidecar's data folder. If the basis has the subject's record, no subjects files are needed.

    Raises:
        SettingsError: if neither or both are given.
        AuthorError, OperatorError: if they cannot be used.
    """
    has_record = request.basis is not None and request.basis.record is not msgspec.UNSET
    if has_record and files.catalog and not files.subjects:
        yield LocalSource(compile_engine(files.catalog, None, files.rules, request.check.subject), "catalog", now)
        return
    with open_engine(files, data, request.check.subject) as local:
        yield LocalSource(local, "catalog" if data is None else "data", now)
