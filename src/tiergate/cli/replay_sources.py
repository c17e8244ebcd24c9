"""What a decision of the past is made again from: what a control plane kept, files, or a sidecar's data folder.

Each gives the same: the bytes of the decision, and why it is so in sentences.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from tiergate.engine.decision_inputs import DecisionBasis
from tiergate.errors import CheckError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tiergate.cli.local_engine import Opened
    from tiergate.model import Check, Instant


class Asked(NamedTuple):
    """A decision that is to be made again.

    `request` is the check's JSON. `publication` and `revision` are those that decided, none where that is not known;
    `basis` as a line of a log has it, none where there is none.
    """

    check: Check
    request: bytes
    at: Instant | None
    publication: int | None = None
    revision: str | None = None
    basis: DecisionBasis | None = None

    def now(self) -> Asked:
        """The same question asked today: with the same usage, and by whatever is in force."""
        usage = None if self.basis is None else self.basis.usage
        return Asked(self.check, self.request, None, basis=DecisionBasis(usage=usage))


class Replayed(NamedTuple):
    """A decision that was made again: its bytes, its instant, and why. `redacted`: its record was erased since."""

    decision: bytes
    at: str
    sentences: tuple[str, ...]
    redacted: bool = False


class Past(Protocol):
    """Makes decisions again."""

    def replay(self, asked: Asked) -> Replayed:
        """Make one.

        Raises:
            SettingsError, CallerError, SyncError: it cannot be made from this.
        """
        ...


class _Answer(msgspec.Struct):
    decision: msgspec.Raw
    at: str
    sentences: tuple[str, ...]
    redacted: bool


class _Remote:
    """What a control plane kept."""

    def __init__(self, url: str, key_file: Path) -> None:
        from tiergate.cli.control_plane_client import ControlPlane

        self._control_plane = ControlPlane(url, key_file)
        self._url = url

    def replay(self, asked: Asked) -> Replayed:
        from tiergate.engine.decision_inputs import basis_json
        from tiergate.errors import SyncError
        from tiergate.model import format_instant

        basis = asked.basis
        if asked.publication is not None and basis is not None and not basis.store:
            raise SettingsError(
                "control-plane", "the decision was made by a sidecar on files: give `--catalog` and `--subjects`"
            )
        body: dict[str, object] = {"check": msgspec.Raw(asked.request)}
        if asked.at is not None:
            body["at"] = format_instant(asked.at)
        body |= {
            name: value
            for name, value in (("publication", asked.publication), ("revision", asked.revision))
            if value is not None
        }
        if basis is not None:
            body["basis"] = msgspec.Raw(basis_json(basis))
        content = self._control_plane.exchange("/v1/replay", msgspec.json.encode(body))
        try:
            said = msgspec.json.decode(content, type=_Answer)
        except msgspec.MsgspecError as error:
            raise SyncError(self._url, f"what it answers cannot be read: {error}") from None
        return Replayed(bytes(said.decision), said.at, said.sentences, said.redacted)


class _Local:
    """A bundle and subjects that are at hand."""

    def __init__(self, opened: Opened, setting: str, now: Instant) -> None:
        self._opened = opened
        self._setting = setting
        self._now = now

    def replay(self, asked: Asked) -> Replayed:
        from tiergate.engine import build_reasoning, decision_json, reasoning_sentences
        from tiergate.engine.decision_inputs import BasisError, reproduce
        from tiergate.model import format_instant

        engine, check = self._opened.engine, asked.check
        if asked.revision is not None and asked.revision != engine.revision:
            detail = (
                f"has revision `{engine.revision}`, and the decision was made by `{asked.revision}`: catalog and rules "
                "must be those of its day"
            )
            raise SettingsError(self._setting, detail)
        basis = asked.basis or DecisionBasis()
        record = self._opened.subjects.find(check.subject) if basis.record is msgspec.UNSET else basis.record
        publication = engine.publication if asked.publication is None else asked.publication
        at = self._now if asked.at is None else asked.at
        try:
            explanation = reproduce(engine.bundle, check, at, basis, record, publication=publication)
        except BasisError as error:
            raise CheckError(f"basis.{error.field}", str(error)) from None
        feature = engine.index.features[check.feature]
        reasoning = build_reasoning(explanation, feature, record if basis.fetched else None, check.subject)
        return Replayed(decision_json(explanation.decision), format_instant(at), reasoning_sentences(reasoning))


def open_remote(url: str, key_file: Path) -> Past:
    """What a control plane kept.

    Raises:
        SettingsError, OSError: it cannot be asked with that.
    """
    return _Remote(url, key_file)


@contextmanager
def open_files(
    catalog: Sequence[Path] | None,
    subjects: Sequence[Path] | None,
    rules: Path | None,
    data: Path | None,
    asked: Asked,
    now: Instant,
) -> Iterator[Past]:
    """What files say, or the data folder of a sidecar. Where the basis has the record, no subjects are needed.

    Raises:
        SettingsError: neither or both are given.
        AuthorError, OperatorError: they cannot be used.
    """
    from tiergate.cli.local_engine import open_engine

    has_record = asked.basis is not None and asked.basis.record is not msgspec.UNSET
    if has_record and catalog and not subjects:
        yield _Local(_without_subjects(catalog, rules), "catalog", now)
        return
    with open_engine(catalog, subjects, rules, data, asked.check.subject) as opened:
        yield _Local(opened, "catalog" if data is None else "data", now)


def _without_subjects(catalog: Sequence[Path], rules: Path | None) -> Opened:
    from tiergate import publish
    from tiergate.bundle import Bundle
    from tiergate.cli.local_engine import Opened
    from tiergate.engine import Evaluator

    class Nobody:
        """No subjects: the record is the one of the line."""

        def find(self, _: object) -> None:
            """Nobody."""

    nobody = Nobody()
    return Opened(Evaluator(Bundle.from_files(publish.compile_files(catalog, rules).files), nobody), nobody)
