"""A decision of the past made again: `POST /v1/replay`, from the record and the revision that it rested on.

What it rested on is said by its line in a decision log: the publication, how far the feed was in force (`position`),
and the rest of its basis. Without a log an instant stands for all of that: what the store said then, which a sidecar
may have heard a moment later. Nothing is guessed: what is not kept any more, or is another store's, is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from tiergate.control.api.bodies import decode_parts
from tiergate.control.api.request import AdminRequest, Answer
from tiergate.control.api.router import Endpoint
from tiergate.engine import build_reasoning, decision_json, reasoning_sentences
from tiergate.engine.decision_inputs import BasisError, DecisionBasis, read_basis, reproduce
from tiergate.errors import BodyError, BodyProblem, CheckError, ConflictError, RequestError
from tiergate.model import Check, Instant, Subject, SubjectType, format_instant, parse_instant
from tiergate.permissions import Action, Resource
from tiergate.publish.bundle_cache import BundleCache
from tiergate.store.history import (
    PastPublication,
    PastRecord,
    holder_of,
    holders_of,
    publication_at,
    publication_upto,
    record_at,
    record_upto,
)
from tiergate.store.publications import publication
from tiergate.wire.check_reader import locate, read_check

if TYPE_CHECKING:
    from tiergate.engine import Explanation, Reasoning
    from tiergate.model import SubjectRecord
    from tiergate.store import ReadUnit

_RULES: Final = "rule/"
NOBODYS: Final = Resource.customer_of("*")


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    check: msgspec.Raw
    at: str | msgspec.UnsetType = msgspec.UNSET
    publication: int | msgspec.UnsetType = msgspec.UNSET
    revision: str | msgspec.UnsetType = msgspec.UNSET
    basis: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Question(NamedTuple):
    """What is to be made again. `at` is none for now; `publication` none for the one then in force."""

    check: Check
    text: bytes
    at: Instant | None = None
    publication: int | None = None
    revision: str | None = None
    basis: DecisionBasis = DecisionBasis()


class Past(NamedTuple):
    """What it rested on. `holder`: whose record it is."""

    at: Instant
    holder: str
    found: PastRecord
    publication: PastPublication

    @property
    def record(self) -> SubjectRecord | None:
        """The record itself; none of an unknown subject."""
        return self.found.record


def endpoints() -> list[Endpoint]:
    """The route."""
    revisions = BundleCache()

    def replay(request: AdminRequest) -> Answer:
        """Make a decision of the past again: the same bytes, and the reasoning behind it, as data and in sentences."""
        return _replay(revisions, request)

    return [Endpoint("POST", "/v1/replay", Action.VIEW, replay, _whom)]


def _whom(request: AdminRequest) -> Resource:
    """The customer or subscription of the check; nobody's where that cannot be read."""
    try:
        subject = _read(request).check.subject
    except (BodyError, RequestError):
        return NOBODYS
    return whom(request, subject)


def whom(request: AdminRequest, subject: Subject) -> Resource:
    """The customer or subscription that a check is about."""
    if subject.type is SubjectType.CUSTOMER:
        return Resource.customer_of(subject.id)
    return Resource.subscription(subject.id, request.read(lambda unit: holder_of(unit.session, subject.id)))


def _replay(revisions: BundleCache, request: AdminRequest) -> Answer:
    asked = _read(request)
    past, explanation, reasoning = made_again(revisions, request, asked, "/check")
    return Answer.json(
        {
            "decision": msgspec.Raw(decision_json(explanation.decision)),
            "at": format_instant(past.at),
            "publication": past.publication.sequence,
            "revision": past.publication.revision,
            "position": past.found.position,
            "redacted": past.found.redacted,
            "sentences": reasoning_sentences(reasoning),
            "reasoning": reasoning,
        }
    )


def made_again(
    revisions: BundleCache, request: AdminRequest, asked: Question, pointer: str = ""
) -> tuple[Past, Explanation, Reasoning]:
    """Decide by what was so, and lay open why. `pointer`: to the check in the body.

    Raises:
        ForbiddenError, NotFoundError, ConflictError: the caller may not see it, or the store does not have it.
        BodyError, UnknownFeatureError: it is no check of the catalog that was in force.
    """
    if asked.basis.record not in (None, msgspec.UNSET):
        # a record that anybody could have made up shows what any item gives, a private one too
        request.require(Action.VIEW, Resource.store())
    past = request.read(lambda unit: _past(unit, request, asked))
    if asked.check.subject.type is SubjectType.SUBSCRIPTION and past.record is not None:
        # it may have been another customer's then than it is now
        request.require(Action.VIEW, Resource.subscription(asked.check.subject.id, past.holder))
    bundle = revisions.open(request.store, past.publication.revision)
    basis, sequence = asked.basis, past.publication.sequence
    try:
        explanation = reproduce(bundle, asked.check, past.at, basis, past.record, publication=sequence)
    except CheckError as error:
        raise wrong(locate(error.field, asked.text, pointer), error.detail, error.suggestion) from None
    except BasisError as error:
        raise wrong(f"/basis/{error.field}", str(error)) from None
    feature = bundle.index.features[asked.check.feature]
    record = past.record if basis.fetched else None
    reasoning = build_reasoning(explanation, feature, record, asked.check.subject)
    return past, explanation, reasoning if request.may(Action.VIEW, Resource.store()) else _without_rules(reasoning)


def _without_rules(reasoning: Reasoning) -> Reasoning:
    """A reasoning for who may not read the rules: these are named, but may tell of other customers."""
    policies = tuple(
        replace(it, text="", description="") if it.id.startswith(_RULES) else it for it in reasoning.policies
    )
    return replace(reasoning, policies=policies)


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────────


def _read(request: AdminRequest) -> Question:
    body = decode_parts(request, _Body)
    text = bytes(body.check)
    try:
        check = read_check(text, "/check")
    except CheckError as error:
        raise wrong(error.field, error.detail, error.suggestion) from None
    try:
        at = None if body.at is msgspec.UNSET else parse_instant(body.at)
    except ValueError as error:
        raise wrong("/at", str(error)) from None
    try:
        basis = DecisionBasis() if body.basis is msgspec.UNSET else read_basis(body.basis)
    except ValueError as error:
        raise wrong("/basis", str(error)) from None
    sequence = None if body.publication is msgspec.UNSET else body.publication
    revision = None if body.revision is msgspec.UNSET else body.revision
    if sequence is not None and not 0 < sequence < 2**62:
        raise wrong("/publication", "must be the number of a publication")
    if basis.position is not None and basis.position < 0:
        raise wrong("/basis/position", "must not be negative")
    return Question(check, text, at, sequence, revision, basis)


def wrong(pointer: str, detail: str, suggestion: str | None = None) -> BodyError:
    """Return the error of one wrong value in a body."""
    return BodyError([BodyProblem(pointer, "wrong-value", detail, suggestion)])


# ── what it rested on ────────────────────────────────────────────────────────────────────────────────────────────────


def _past(unit: ReadUnit, request: AdminRequest, asked: Question) -> Past:
    basis = asked.basis
    if basis.store and basis.store != request.store.id:
        raise ConflictError(
            "another-store", f"the decision was made by what store `{basis.store}` said; this is `{request.store.id}`"
        )
    at = unit.now if asked.at is None else asked.at
    holder, found = _record(unit, asked, at)
    return Past(at, holder, found, _publication(unit, asked, at))


def _publication(unit: ReadUnit, asked: Question, at: Instant) -> PastPublication:
    position = asked.basis.position
    if asked.publication is not None:
        found = PastPublication(asked.publication, publication(unit.session, asked.publication).revision)
    elif position is not None:
        found = publication_upto(unit.session, position)
    else:
        found = publication_at(unit.session, at)
    if asked.revision is not None and asked.revision != found.revision:
        raise ConflictError(
            "another-revision",
            f"the decision was made by revision `{asked.revision}`; publication {found.sequence} of this store is "
            f"`{found.revision}`: it is another store's, or this one was put back to an older state",
        )
    return found


def _record(unit: ReadUnit, asked: Question, at: Instant) -> tuple[str, PastRecord]:
    """The record of the subject, and whose it is; an unknown subject's is none, and nobody's."""
    given, position, subject = asked.basis.record, asked.basis.position, asked.check.subject
    if given is not msgspec.UNSET:
        if given is None:
            return "", PastRecord(0, None)
        return given.customer.id, PastRecord(position or 0, given)
    for customer in _holders(unit, subject):
        if position is None:
            found = record_at(unit.session, customer, at)
        else:
            found = record_upto(unit.session, customer, position)
        if found.record is not None and _is_in(subject, found.record):
            return customer, found
    if position is not None:
        record_upto(unit.session, "", position)  # the position must be one that there is, whoever is asked about
    return "", PastRecord(0, None)


def _holders(unit: ReadUnit, subject: Subject) -> tuple[str, ...]:
    return (subject.id,) if subject.type is SubjectType.CUSTOMER else holders_of(unit.session, subject.id)


def _is_in(subject: Subject, record: SubjectRecord) -> bool:
    return subject.type is SubjectType.CUSTOMER or any(one.id == subject.id for one in record.subscriptions)
