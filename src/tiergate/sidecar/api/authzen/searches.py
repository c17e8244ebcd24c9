"""Searches: `POST /access/v1/search/subject`, `…/resource` and `…/action`.

INVARIANT (a search is evaluations): each result is one that an evaluation of the same question permits, and no other
is. Results are in the order of their names. A page looks at so many candidates at most, so it can have fewer results
than its limit, and still not be the last one; it is decided by one view of the state and one version of the subject
that asks, in time slices.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from tiergate.errors import CheckError, RequestError, TiergateError, UnknownFeatureError
from tiergate.model import Subject
from tiergate.sidecar.api.authzen.questions import (
    FEATURE,
    AccessRequest,
    Refusal,
    actions_of,
    decide_access,
    features_for,
    subject_of,
    translate,
)
from tiergate.sidecar.api.responses import HttpResponse, reject
from tiergate.sidecar.time_slicing import decide_consistently
from tiergate.wire.authzen_reader import ACTION, MAX_PAGE, RESOURCE, SUBJECT, Question, Search, read_search
from tiergate.wire.check_reader import SUBJECT_TYPES
from tiergate.wire.json import encode, encode_sorted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.engine.own_access import OwnAccess
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.state import StateView

ENDPOINT: Final = "authzen_search"

_MOST_LOOKED_AT: Final = 2_000
"""The most candidates of one page."""


class _Token(msgspec.Struct, array_like=True):
    """Where a page begins: after a name, of which search, with how many results a page."""

    after: str
    search: str
    limit: Annotated[int, msgspec.Meta(ge=0, le=MAX_PAGE)]


_decode_token = msgspec.json.Decoder(_Token).decode


class SearchAdapter:
    """Responds to searches."""

    def __init__(self, service: CheckService) -> None:
        self._service = service

    async def respond(self, target: str, body: bytes) -> HttpResponse:
        """Respond to a search for `SUBJECT`, `RESOURCE` or `ACTION`."""
        begun = time.perf_counter_ns()
        service = self._service
        try:
            service.view()
            search = read_search(body, target)
            token = _begin(search, target)
            if target != SUBJECT:
                await self._fetch(search.question)
            page = await decide_consistently(service, lambda view: _Page(service, view, search.question, target, token))
            service.count_success(ENDPOINT, begun)
            return HttpResponse(200, page.body())
        except TiergateError as error:
            return reject(service, ENDPOINT, error)

    async def _fetch(self, question: Question) -> None:
        subject = subject_of(question.subject)
        if not isinstance(subject, Refusal) and self._service.must_fetch(self._service.view(), subject):
            await self._service.fetch([subject])


class _Page:
    """A page in progress."""

    def __init__(self, service: CheckService, view: StateView, question: Question, target: str, begin: _Token) -> None:
        self._service = service
        self._view = view
        self._question = question
        self._target = target
        self._begin = begin
        self._now = service.clock()
        self._found: list[dict[str, str]] = []
        self._next = ""
        subject = None if target == SUBJECT else subject_of(question.subject)
        self._version = None if not isinstance(subject, Subject) else service.version_of_all(view, subject)

    @property
    def is_consistent(self) -> bool:
        """Whether the subject of a search for resources or actions is still as it was at the beginning."""
        return self._version is None or not self._version.is_outdated

    def decide(self) -> Iterator[None]:
        """Look at candidates until the page is full, pausing after each."""
        last, looked = self._begin.after, 0
        for name in self._candidates():
            if len(self._found) >= self._begin.limit or looked >= _MOST_LOOKED_AT:
                self._next = _encode_token(_Token(last, self._begin.search, self._begin.limit))
                return
            if self._permits(name):
                self._found.append(self._result(name))
            last, looked = name, looked + 1
            yield

    def body(self) -> bytes:
        """Put the page together."""
        return encode({"results": self._found, "page": {"next_token": self._next, "count": len(self._found)}})

    def _candidates(self) -> Iterator[str]:
        """Yield the names that are looked at, in order."""
        generation, question, after = self._view.generation, self._question, self._begin.after
        if generation is None:
            return
        features, own = generation.engine.evaluator.index.features, generation.engine.evaluator.access
        kind, names = question.resource.type, list[str]()
        if self._target == RESOURCE:
            has_action = features_for(question.action, features.values()) if kind == FEATURE else ()
            names = [feature.id for feature in has_action] if kind == FEATURE else own.ids(kind)
        elif self._target == ACTION and kind == FEATURE:
            feature = features.get(question.resource.id)
            names = [] if feature is None else list(actions_of(feature))
        elif self._target == ACTION:
            names = list(own.actions)
        elif kind == FEATURE or not self._is_own_subject(own):
            yield from self._subjects(after)
        else:
            names = own.ids(question.subject.type)
        yield from (name for name in sorted(names) if name > after)

    def _is_own_subject(self, own: OwnAccess) -> bool:
        action = own.actions.get(self._question.action)
        return action is not None and self._question.subject.type in action.principals

    def _subjects(self, after: str) -> Iterator[str]:
        kind, generation = SUBJECT_TYPES.get(self._question.subject.type), self._view.generation
        if kind is None or generation is None:  # users are known to nobody but their services
            return
        while True:
            listed = generation.engine.evaluator.subjects.list_ids(kind, after, MAX_PAGE)
            if listed is None or self._service.subjects is not None:
                detail = "this sidecar does not have all subjects: it fetches them on demand"
                raise RequestError(501, "not searchable", detail)
            yield from listed
            if len(listed) < MAX_PAGE:
                return
            after = listed[-1]

    def _permits(self, name: str) -> bool:
        question = self._question
        if self._target == RESOURCE:
            question = question._replace(resource=question.resource._replace(id=name))
        elif self._target == ACTION:
            question = question._replace(action=name)
        else:
            question = question._replace(subject=question.subject._replace(id=name))
        try:
            asked = translate(self._service, self._view, question)
            if isinstance(asked, Refusal):
                return False
            if isinstance(asked, AccessRequest):
                return decide_access(self._service, self._view, asked, self._now).decision.allowed
            return self._service.decide(self._view, asked, self._now, once=True).decision.allowed
        except (CheckError, UnknownFeatureError):  # as the evaluation would be: not permitted
            return False

    def _result(self, name: str) -> dict[str, str]:
        if self._target == ACTION:
            return {"name": name}
        entity = self._question.resource if self._target == RESOURCE else self._question.subject
        return {"type": entity.type, "id": name}


def _begin(search: Search, target: str) -> _Token:
    """Return where a page begins. Raises `CheckError` if its token is not of this search."""
    question = search.question
    asked = {
        SUBJECT: question.subject,
        ACTION: (question.action, question.action_properties),
        RESOURCE: question.resource,
        "context": question.context,
        "target": target,
    }
    try:
        digest = hashlib.blake2b(encode_sorted(asked), digest_size=12).hexdigest()
    except (UnicodeEncodeError, RecursionError):
        raise CheckError("", "has text that is not Unicode, or is nested too deeply") from None
    if not search.token:
        return _Token("", digest, MAX_PAGE if search.limit is None else min(search.limit, MAX_PAGE))
    try:
        token = _decode_token(base64.urlsafe_b64decode(search.token.encode("ascii")))
    except (ValueError, binascii.Error, msgspec.MsgspecError, UnicodeEncodeError):
        raise CheckError("/page/token", "is none of this sidecar") from None
    if token.search != digest:
        raise CheckError("/page/token", "is of another search: only the page may differ")
    if search.limit is not None and min(search.limit, MAX_PAGE) != token.limit:
        raise CheckError("/page/limit", "must not change between the pages of a search")
    return token


def _encode_token(token: _Token) -> str:
    return base64.urlsafe_b64encode(encode(token)).decode()
