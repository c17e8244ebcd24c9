"""Repeat a decision of the past from the record and the revision that it was based on.

A decision log names what a decision was based on: the publication, the active position of the feed, and the rest of its
basis. Without a log, an instant replaces all of that: the state of the store then, which a sidecar may have received a
moment later. Nothing is guessed: what is no longer kept, or belongs to another store, is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from tiergate.admin.entitlements import known_reports
from tiergate.engine import build_reasoning
from tiergate.engine.decision_inputs import BasisError, DecisionBasis, reproduce
from tiergate.engine.feature_status import FeatureStatuses
from tiergate.errors import BodyError, BodyProblem, ConflictError
from tiergate.model import Check, Instant, Subject, SubjectType
from tiergate.permissions import Action, Resource
from tiergate.store.history import (
    PastPublication,
    PastRecord,
    find_past_customer,
    list_past_customers,
    publication_at,
    publication_at_position,
    record_at,
    record_at_position,
)
from tiergate.store.publications import publication

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.engine import Explanation, Reasoning
    from tiergate.model import SubjectRecord
    from tiergate.publish.bundle_cache import BundleCache
    from tiergate.store import ReadUnit, Store

_RULES: Final = "rule/"


class ReplayRequest(NamedTuple):
    """A check, and what it was based on. `at`: `None` for now; `publication`: `None` for the one published then."""

    check: Check
    at: Instant | None = None
    publication: int | None = None
    revision: str | None = None
    basis: DecisionBasis = DecisionBasis()


class Past(NamedTuple):
    """What a decision was based on. `customer`: whose record it was, '' if the subject was unknown."""

    at: Instant
    customer: str
    state: PastRecord
    publication: PastPublication


class Replay(NamedTuple):
    """A repeated decision."""

    past: Past
    explanation: Explanation
    reasoning: Reasoning


def check_resource(unit: ReadUnit, subject: Subject) -> Resource:
    """Return the customer or subscription of a check, for permissions."""
    if subject.type is SubjectType.CUSTOMER:
        return Resource.customer_of(subject.id)
    return Resource.subscription(subject.id, find_past_customer(unit.session, subject.id))


def replay(actor: Actor, store: Store, bundles: BundleCache, wanted: ReplayRequest) -> Replay:
    """Decide a check by the state that it was based on, and explain the decision.

    Raises:
        ForbiddenError, NotFoundError, ConflictError: the actor may not see the state, or the store does not have it.
        CheckError, UnknownFeatureError: the check does not fit the catalog that was published.
        BodyError: the basis does not fit the check.
    """
    if wanted.basis.record not in (None, msgspec.UNSET):
        # A made-up record shows what any item gives, a private one too.
        actor.require(Action.VIEW, Resource.store())
    past = store.read(lambda unit: _read_past(unit, store.id, wanted))
    subject = wanted.check.subject
    if subject.type is SubjectType.SUBSCRIPTION and past.state.record is not None:
        # The subscription may have been another customer's than it is now.
        actor.require(Action.VIEW, Resource.subscription(subject.id, past.customer))
    bundle = bundles.open(store, past.publication.revision)
    basis, record = wanted.basis, past.state.record
    statuses = None
    if basis.status is None and not basis.version:  # it is not from a decision log
        feature_id = wanted.check.feature
        statuses = FeatureStatuses(store.read(lambda unit: known_reports(unit, past.at, [feature_id])))
    try:
        sequence = past.publication.sequence
        explanation = reproduce(bundle, wanted.check, past.at, basis, record, publication=sequence, statuses=statuses)
    except BasisError as error:
        raise BodyError([BodyProblem(f"/basis/{error.field}", "wrong-value", str(error))]) from None
    feature = bundle.index.features[wanted.check.feature]
    reasoning = build_reasoning(explanation, feature, record if basis.fetched else None, subject)
    if not actor.may(Action.VIEW, Resource.store()):
        reasoning = _without_rules(reasoning)
    return Replay(past, explanation, reasoning)


def _without_rules(reasoning: Reasoning) -> Reasoning:
    """Remove the text of rules, which may be about other customers; their names stay."""
    policies = tuple(
        replace(it, text="", description="") if it.id.startswith(_RULES) else it for it in reasoning.policies
    )
    return replace(reasoning, policies=policies)


def _read_past(unit: ReadUnit, store: str, wanted: ReplayRequest) -> Past:
    origin = wanted.basis.store
    if origin and origin != store:
        detail = f"the decision is based on the store `{origin}`; this store is `{store}`"
        raise ConflictError("another-store", detail)
    at = unit.now if wanted.at is None else wanted.at
    customer, record = _read_record(unit, wanted, at)
    return Past(at, customer, record, _read_publication(unit, wanted, at))


def _read_publication(unit: ReadUnit, wanted: ReplayRequest, at: Instant) -> PastPublication:
    position = wanted.basis.position
    if wanted.publication is not None:
        published = PastPublication(wanted.publication, publication(unit.session, wanted.publication).revision)
    elif position is not None:
        published = publication_at_position(unit.session, position)
    else:
        published = publication_at(unit.session, at)
    if wanted.revision is not None and wanted.revision != published.revision:
        raise ConflictError(
            "another-revision",
            f"the decision is based on revision `{wanted.revision}`; publication {published.sequence} of this store is "
            f"`{published.revision}`: it is another store's, or this store was restored to an older state",
        )
    return published


def _read_record(unit: ReadUnit, wanted: ReplayRequest, at: Instant) -> tuple[str, PastRecord]:
    """Return the record of the subject, and its customer; no record and '' for an unknown subject."""
    given, position, subject = wanted.basis.record, wanted.basis.position, wanted.check.subject
    if given is not msgspec.UNSET:
        if given is None:
            return "", PastRecord(0, None)
        return given.customer.id, PastRecord(position or 0, given)
    is_customer = subject.type is SubjectType.CUSTOMER
    for customer in (subject.id,) if is_customer else list_past_customers(unit.session, subject.id):
        if position is None:
            past = record_at(unit.session, customer, at)
        else:
            past = record_at_position(unit.session, customer, position)
        if past.record is not None and (is_customer or _has_subscription(past.record, subject.id)):
            return customer, past
    if position is not None:
        record_at_position(unit.session, "", position)  # the position must exist, also for an unknown subject
    return "", PastRecord(0, None)


def _has_subscription(record: SubjectRecord, id_: str) -> bool:
    return any(it.id == id_ for it in record.subscriptions)
