"""What a subject is or was entitled to: as of any moment, under the revision then in force or any other.

The engine that sidecars decide with decides here too, on the record that the feed had at that moment, so that the
answer is the one that a sidecar gave, or would give. What was used is not looked at.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import cachetools

from tiergate.control.api.customers import the_customer
from tiergate.control.api.request import AdminRequest, Answer
from tiergate.control.api.router import Endpoint
from tiergate.engine import Evaluator, decide_all_features
from tiergate.engine.fixed_sources import FixedSubject
from tiergate.errors import NotFoundError, RequestError
from tiergate.model import (
    FOREVER,
    LAST_INSTANT,
    Decision,
    Subject,
    SubjectRecord,
    SubjectType,
    format_instant,
    parse_instant,
)
from tiergate.permissions import Action, Resource
from tiergate.publish.bundle_cache import BundleCache
from tiergate.store.history import PastPublication, holder_of, publication_at, record_at
from tiergate.store.publications import publication

if TYPE_CHECKING:
    from tiergate.bundle import Bundle
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, Store

_KEPT_ENGINES: Final = 8
_MOST_PUBLICATIONS: Final = 10**15


def endpoints() -> list[Endpoint]:
    """The routes."""
    engines = _Engines()
    asked = ("at", "revision", "publication")
    return [
        Endpoint(
            "GET",
            f"/v1/{kind}s/{{{kind}}}/entitlements",
            Action.VIEW,
            _handler(engines, kind),
            resource,
            query=asked,
        )
        for kind, resource in ((SubjectType.CUSTOMER, the_customer), (SubjectType.SUBSCRIPTION, _past_subscription))
    ]


def _past_subscription(request: AdminRequest) -> Resource:
    """The subscription of the path, of the customer who has or had it."""
    id_ = request.params["subscription"]
    return Resource.subscription(id_, request.read(lambda unit: holder_of(unit.session, id_)))


def _handler(engines: _Engines, kind: SubjectType) -> partial[Answer]:
    handler = partial(_entitlements, engines, kind)
    handler.__doc__ = f"What a {kind} is or was entitled to, now or `at` a moment, by a `revision` or `publication`."
    return handler


class _Asked(NamedTuple):
    record: SubjectRecord
    position: int
    publication: PastPublication


def _entitlements(engines: _Engines, kind: SubjectType, request: AdminRequest) -> Answer:
    text = request.query.get("at")
    moment = None if text is None else _moment(text)
    if "revision" in request.query and "publication" in request.query:
        raise RequestError(400, "invalid request", "either `revision` or `publication` says under what, not both")
    subject = Subject(request.params[kind.value], kind)

    def work(unit: ReadUnit) -> tuple[Instant, _Asked]:
        at = unit.now if moment is None else moment
        return at, _asked(unit, request, subject, at)

    at, asked = request.read(work)
    decisions = engines.decide(request.store, asked, subject, at)
    return Answer.json(
        {
            "subject": {"type": kind.value, "id": subject.id},
            "at": format_instant(at),
            "entitlements": [_entry(decision) for decision in decisions],
            "publication": asked.publication.sequence,
            "revision": asked.publication.revision,
            "position": asked.position,
        }
    )


def _asked(unit: ReadUnit, request: AdminRequest, subject: Subject, at: Instant) -> _Asked:
    is_customer = subject.type is SubjectType.CUSTOMER
    holder = subject.id if is_customer else holder_of(unit.session, subject.id)
    past = None if holder is None else record_at(unit.session, holder, at)
    if past is None or past.record is None:
        raise NotFoundError(subject.type.value, subject.id)
    if not is_customer and all(one.id != subject.id for one in past.record.subscriptions):
        raise NotFoundError(subject.type.value, subject.id)
    if "revision" in request.query:
        return _Asked(past.record, past.position, PastPublication(0, request.query["revision"]))
    if "publication" in request.query:
        number = request.number("publication", 0, least=1, most=_MOST_PUBLICATIONS)
        return _Asked(past.record, past.position, PastPublication(number, publication(unit.session, number).revision))
    return _Asked(past.record, past.position, publication_at(unit.session, at))


def _entry(decision: Decision) -> dict[str, object]:
    found: dict[str, object] = {
        "feature": decision.feature,
        "type": decision.type.value,
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "entitlement": decision.entitlement,
        "sources": decision.sources,
        "policies": decision.policies,
    }
    if decision.until < FOREVER:
        found["valid_until"] = _written(decision.until)
    return found


def _written(instant: Instant) -> str:
    try:
        return format_instant(instant)
    except OverflowError:
        return format_instant(LAST_INSTANT)


def _moment(text: str) -> Instant:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise RequestError(400, "invalid request", f"`at` {error}") from None


class _Opened:
    """An engine on the bundle of a revision, for one question at a time."""

    def __init__(self, bundle: Bundle) -> None:
        self._subjects = FixedSubject()
        self._engine = Evaluator(bundle, self._subjects)
        self._lock = threading.Lock()

    def decide(self, record: SubjectRecord, subject: Subject, at: Instant) -> list[Decision]:
        with self._lock:
            self._subjects.record = record
            self._engine.forget(subject)
            try:
                return list(decide_all_features(self._engine, subject, at))
            finally:
                self._engine.forget(subject)


class _Engines:
    """Engines by store and revision, those that were asked last."""

    def __init__(self) -> None:
        self._revisions = BundleCache()
        self._lock = threading.Lock()
        self._opened: cachetools.LRUCache[tuple[str, str], _Opened] = cachetools.LRUCache(_KEPT_ENGINES)

    def decide(self, store: Store, asked: _Asked, subject: Subject, at: Instant) -> list[Decision]:
        """Decide the least check of every feature.

        Raises:
            NotFoundError: the store has no such revision.
        """
        key = (store.id, asked.publication.revision)
        with self._lock:
            opened = self._opened.get(key)
        if opened is None:
            opened = _Opened(self._revisions.open(store, asked.publication.revision))
            with self._lock:
                self._opened[key] = opened
        return opened.decide(asked.record, subject, at)
