"""Publishing over HTTP: what is pending, publish, publications, roll back; rollouts; suspensions for everybody.

Publishing answers with what changed. With `dry_run` it has no effect, and also says what stands against it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from tiergate.catalog import rollout_data, suspension_data
from tiergate.control.access import Endpoint
from tiergate.control.authorization import Action, Resource
from tiergate.control.http import Answer
from tiergate.control.items import item_resource
from tiergate.errors import BodyError, BodyProblem, NotFoundError, RequestError
from tiergate.model import (
    BEGINNING,
    FOREVER,
    Audience,
    AudienceType,
    Rollout,
    Suspension,
    format_instant,
    parse_instant,
)
from tiergate.model.items import SHARE_STEPS
from tiergate.naming import is_id, nearest
from tiergate.publish.difference import difference
from tiergate.publish.pending import Standing
from tiergate.publish.plans import pending_plan, resumption_plan, rollouts_plan, suspension_plan
from tiergate.publish.proposals import Choice
from tiergate.publish.rolling_back import rollback_plan
from tiergate.publish.rollouts import Launch
from tiergate.store.publications import publication, publications, published_policies, working_etags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.control.http import AdminRequest
    from tiergate.model import Instant, Problem
    from tiergate.publish.difference import Change
    from tiergate.publish.publisher import Outcome, Planner, Preview, Publisher
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.publications import PublicationRecord

__all__ = ["carried_out", "endpoints", "preview_data"]

_NOTHING: Final[frozenset[str]] = frozenset()
_MAX_NOTE: Final = 10_000


class _AudienceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    share: Decimal | None = None
    tag: str | None = None


class _LaunchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    audience: _AudienceBody | Literal["everybody", "new"] = "everybody"
    start: str | None = msgspec.field(default=None, name="from")

    def launch(self, at: str) -> Launch:
        """What it says; `at`: where in the body it stands."""
        return Launch(_audience(self.audience, f"{at}/audience"), _instant(self.start, f"{at}/from"))


class _RolloutBody(_LaunchBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    version: int

    def rollout(self, at: str, now: Instant) -> Rollout:
        """What it says."""
        return self.launch(at).rollout(self.version, now)


class _PublishBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    features: list[str] | None = None
    items: list[str] | None = None
    rules: list[str] | None = None
    roles: bool | None = None
    rollout: _LaunchBody | None = None
    rollouts: dict[str, _LaunchBody] = {}
    note: str = ""
    dry_run: bool = False


class _RollbackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    roles: bool = False
    note: str = ""
    dry_run: bool = False


class _RolloutsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rollouts: list[_RolloutBody]
    narrow: bool = False
    note: str = ""


class _OneRolloutBody(_RolloutBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    narrow: bool = False
    note: str = ""


class _SuspensionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    start: str | None = msgspec.field(default=None, name="from")
    until: str | None = None
    reason: str = ""


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """What there is about publishing."""
    catalog = Resource.catalog()
    handlers = _Handlers(publisher)
    rollouts, suspensions = "/v1/items/{id}/rollouts", "/v1/features/{id}/suspensions"
    return [
        Endpoint("GET", "/v1/pending", Action.VIEW, handlers.pending, catalog),
        Endpoint("POST", "/v1/publish", Action.PREVIEW, handlers.publish, catalog),
        Endpoint("GET", "/v1/publications", Action.VIEW, handlers.list_publications, catalog, paged=True),
        Endpoint("GET", "/v1/publications/{sequence}", Action.VIEW, handlers.show_publication, catalog),
        Endpoint("POST", "/v1/publications/{sequence}/rollback", Action.PREVIEW, handlers.roll_back, catalog),
        Endpoint("GET", rollouts, Action.VIEW, handlers.list_rollouts, item_resource),
        Endpoint("PUT", rollouts, Action.EDIT_ROLLOUT, handlers.set_rollouts, item_resource),
        Endpoint("POST", rollouts, Action.EDIT_ROLLOUT, handlers.add_rollout, item_resource),
        Endpoint("GET", suspensions, Action.VIEW, handlers.list_suspensions, _feature),
        Endpoint("POST", suspensions, Action.SUSPEND_FEATURE, handlers.suspend, _feature),
        Endpoint("DELETE", suspensions + "/{number}", Action.SUSPEND_FEATURE, handlers.resume, _feature),
    ]


def _feature(request: AdminRequest) -> Resource:
    return Resource.feature(request.params["id"])


class _Handlers:
    """The handlers, with the publisher that they share."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def pending(self, request: AdminRequest) -> Answer:  # noqa: ARG002
        """Show what publishing everything would change."""
        return Answer.json(preview_data(self._publisher.preview(pending_plan())))

    def publish(self, request: AdminRequest) -> Answer:
        """Publish what is pending, or what is chosen of it."""
        body = request.decode(_PublishBody) if request.body else _PublishBody()
        _check_note(body.note)
        choice = _choice(request, body)
        launch = None if body.rollout is None else body.rollout.launch("/rollout")
        launches = {id_: it.launch(f"/rollouts/{id_}") for id_, it in body.rollouts.items()}
        planner = pending_plan(choice, launch=launch, launches=launches, note=body.note)
        return self._do(request, planner, Action.PUBLISH, dry_run=body.dry_run)

    def roll_back(self, request: AdminRequest) -> Answer:
        """Put the catalog and the rules of a past publication in force again."""
        body = request.decode(_RollbackBody) if request.body else _RollbackBody()
        _check_note(body.note)
        sequence = _sequence(request)
        store = Resource.store()
        if body.roles:
            request.require(Action.EDIT_ROLES, store)

        def planner(unit: ReadUnit, standing: Standing) -> object:
            if not request.may(Action.EDIT_RULES, store) and 1 <= sequence <= standing.sequence:
                rules, _ = published_policies(unit, sequence)
                if rules != standing.rules:
                    request.require(Action.EDIT_RULES, store)
            return rollback_plan(sequence, roles=body.roles, note=body.note)(unit, standing)

        return self._do(request, planner, Action.ROLLBACK, dry_run=body.dry_run)  # type: ignore[arg-type]

    def _do(self, request: AdminRequest, planner: Planner, action: Action, *, dry_run: bool) -> Answer:
        if dry_run:
            return Answer.json(preview_data(self._publisher.preview(planner)))
        request.require(action, Resource.catalog())
        return carried_out(self._publisher, request, planner)

    # ── publications ─────────────────────────────────────────────────────────────────────────────────────────────────

    def list_publications(self, request: AdminRequest) -> Answer:
        """List the publications, the latest first."""
        cursor = request.cursor
        if cursor is not None and not cursor.isdecimal():
            raise RequestError(400, "invalid request", "`cursor` is not one that this list gave out")
        before = None if cursor is None else int(cursor)
        rows = request.read(lambda unit: publications(unit.session, before, request.limit + 1))
        page = rows[: request.limit]
        return Answer.page(
            [_publication_data(row) for row in page], str(page[-1].sequence) if len(rows) > len(page) else None
        )

    def show_publication(self, request: AdminRequest) -> Answer:
        """Show a publication, and what it changed."""
        sequence = _sequence(request)

        def work(unit: ReadUnit) -> tuple[PublicationRecord, list[Change]]:
            found = publication(unit.session, sequence)
            return found, difference(_standing(unit, sequence - 1), _standing(unit, sequence))

        found, changes = request.read(work)
        return Answer.json({**_publication_data(found), "changes": changes})

    # ── rollouts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def list_rollouts(self, request: AdminRequest) -> Answer:
        """Show which version of an item whom gets."""
        return request.read(lambda unit: _rollouts_answer(unit, request.params["id"]))

    def set_rollouts(self, request: AdminRequest) -> Answer:
        """Say anew which version of an item whom gets. It acts at once."""
        body = request.decode(_RolloutsBody)
        _check_note(body.note)

        def change(_: tuple[Rollout, ...], now: Instant) -> Sequence[Rollout]:
            return [it.rollout(f"/rollouts/{place}", now) for place, it in enumerate(body.rollouts)]

        change((), 0)  # all that is wrong in the body is wrong at any time
        return self._change_rollouts(request, change, narrow=body.narrow, note=body.note)

    def add_rollout(self, request: AdminRequest) -> Answer:
        """Give a version of an item to more, as the last rollout. It acts at once."""
        body = request.decode(_OneRolloutBody)
        _check_note(body.note)
        body.rollout("", 0)

        def change(before: tuple[Rollout, ...], now: Instant) -> Sequence[Rollout]:
            return (*before, body.rollout("", now))

        return self._change_rollouts(request, change, narrow=body.narrow, note=body.note)

    def _change_rollouts(
        self,
        request: AdminRequest,
        change: Callable[[tuple[Rollout, ...], Instant], Sequence[Rollout]],
        *,
        narrow: bool,
        note: str,
    ) -> Answer:
        id_ = request.params["id"]
        planner = rollouts_plan(id_, change, may_narrow=narrow, note=note)

        def check(unit: WriteUnit) -> None:
            etag = working_etags(unit.session, (), [id_])[1].get(id_)
            if etag is not None:
                request.check_etag("item", id_, etag)

        return carried_out(self._publisher, request, planner, check)

    # ── suspensions for everybody ────────────────────────────────────────────────────────────────────────────────────

    def list_suspensions(self, request: AdminRequest) -> Answer:
        """List the suspensions of a feature for everybody, those of the past too."""
        id_ = request.params["id"]
        features = request.read(lambda unit: unit.published).index.features
        if id_ not in features:
            raise NotFoundError("published feature", id_, nearest(id_, features))
        listed = [
            {"number": number, **suspension_data(it)} for number, it in enumerate(features[id_].suspensions, start=1)
        ]
        return Answer.page(listed, None)

    def suspend(self, request: AdminRequest) -> Answer:
        """Suspend a feature for everybody, at once or from a moment on, for good or until one."""
        body = request.decode(_SuspensionBody) if request.body else _SuspensionBody()
        start, until = _instant(body.start, "/from"), _instant(body.until, "/until")
        suspension = Suspension(
            "", BEGINNING if start is None else start, FOREVER if until is None else until, body.reason
        )
        _check_note(body.reason, "/reason")
        if suspension.until <= suspension.start:
            raise BodyError([BodyProblem("/until", "empty-period", "`until` must be later than `from`")])
        planner = suspension_plan(request.params["id"], suspension, body.reason)
        return carried_out(self._publisher, request, planner, self._same_feature(request))

    def resume(self, request: AdminRequest) -> Answer:
        """Take back a suspension of a feature for everybody."""
        number = request.params["number"]
        if not number.isdecimal() or len(number) > 9:
            raise NotFoundError("suspension", f"{request.params['id']}/{number}")
        planner = resumption_plan(request.params["id"], int(number), request.reason)
        return carried_out(self._publisher, request, planner, self._same_feature(request))

    @staticmethod
    def _same_feature(request: AdminRequest) -> Callable[[WriteUnit], None]:
        id_ = request.params["id"]

        def check(unit: WriteUnit) -> None:
            etag = working_etags(unit.session, [id_], ())[0].get(id_)
            if etag is not None:
                request.check_etag("feature", id_, etag)

        return check


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────────


def _choice(request: AdminRequest, body: _PublishBody) -> Choice:
    """What is to be published. Rules and roles only for those who may edit them; unasked, they are left out else."""
    store = Resource.store()
    named = (body.features, body.items, body.rules, body.roles)
    if all(it is None for it in named):
        return Choice(
            rules=None if request.may(Action.EDIT_RULES, store) else _NOTHING,
            roles=request.may(Action.EDIT_ROLES, store),
        )
    if body.rules:
        request.require(Action.EDIT_RULES, store)
    if body.roles:
        request.require(Action.EDIT_ROLES, store)
    return Choice(
        frozenset(body.features or ()), frozenset(body.items or ()), frozenset(body.rules or ()), bool(body.roles)
    )


def _audience(body: _AudienceBody | str, at: str) -> Audience:
    if isinstance(body, str):
        return Audience(AudienceType(body))
    if (body.share is None) == (body.tag is None):
        raise BodyError([BodyProblem(at, "key-conflict", "an audience has either `share` or `tag`")])
    if body.tag is not None:
        if not is_id(body.tag):
            raise BodyError([BodyProblem(f"{at}/tag", "bad-id", f"`{body.tag[:100]}` is not a tag")])
        return Audience(AudienceType.TAG, tag=body.tag)
    share = Decimal(0) if body.share is None else body.share
    steps = share * (SHARE_STEPS // 100) if share.is_finite() else Decimal(-1)
    if not 0 <= steps <= SHARE_STEPS or steps != steps.to_integral_value():
        message = "must be a percentage from 0 to 100, of at most two decimal digits"
        raise BodyError([BodyProblem(f"{at}/share", "bad-number", message)])
    return Audience(AudienceType.SHARE, share=int(steps))


def _instant(text: str | None, at: str) -> Instant | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise BodyError([BodyProblem(at, "bad-instant", f"`{text[:100]}` {error}")]) from None


def _check_note(text: str, at: str = "/note") -> None:
    if len(text) > _MAX_NOTE or "\x00" in text:
        raise BodyError([BodyProblem(at, "bad-text", f"must be text of at most {_MAX_NOTE} characters")])


def _sequence(request: AdminRequest) -> int:
    text = request.params["sequence"]
    if not text.isdecimal() or len(text) > 18:
        raise NotFoundError("publication", text)
    return int(text)


# ── what is answered ─────────────────────────────────────────────────────────────────────────────────────────────────


def carried_out(
    publisher: Publisher,
    request: AdminRequest,
    planner: Planner,
    check: Callable[[WriteUnit], None] | None = None,
) -> Answer:
    """Publish what is planned, once for an idempotency key, and answer with what changed.

    `check` is asked first, in the same transaction.
    """

    def run(work: Callable[[WriteUnit], Outcome]) -> Answer:
        def once(unit: WriteUnit) -> Answer:
            if check is not None:
                check(unit)
            return _outcome_answer(work(unit))

        return request.change(once)

    return publisher.carry_out(planner, run)


def _outcome_answer(outcome: Outcome) -> Answer:
    said = {
        "publication": outcome.sequence,
        "revision": outcome.revision,
        "published": outcome.is_new,
        "changes": outcome.changes,
    }
    if outcome.is_new:
        return Answer.json(said, 201, location=f"/v1/publications/{outcome.sequence}")
    return Answer.json(said)


def preview_data(preview: Preview) -> dict[str, object]:
    """A preview, as it is answered."""
    return {
        "publication": preview.sequence,
        "revision": preview.revision,
        "published": False,
        "changes": preview.changes,
        "problems": [_problem_data(problem) for problem in preview.problems],
    }


def _problem_data(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "code": problem.code,
        "detail": problem.message,
    }


def _publication_data(found: PublicationRecord) -> dict[str, object]:
    said: dict[str, object] = {
        "publication": found.sequence,
        "revision": found.revision,
        "position": found.position,
        "issued_at": format_instant(found.issued_at),
        "author": found.author,
        "note": found.note,
    }
    return said if found.rolled_back_to is None else {**said, "rolled_back_to": found.rolled_back_to}


def _standing(unit: ReadUnit, sequence: int) -> Standing:
    state = unit.published_at(sequence)
    return Standing(sequence, state.revision, state.catalog, *published_policies(unit, sequence))


def _rollouts_answer(unit: ReadUnit, id_: str) -> Answer:
    item = unit.published.index.items.get(id_)
    if item is None:
        raise NotFoundError("published item", id_)
    etag = working_etags(unit.session, (), [id_])[1].get(id_)
    said = {"rollouts": [rollout_data(rollout) for rollout in item.rollouts], "versions": item.versions}
    return Answer.json(said, etag=etag)
