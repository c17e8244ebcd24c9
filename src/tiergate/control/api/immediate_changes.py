"""What acts at once, by a publication of its own, over HTTP: who gets which version, and suspensions for everybody.

A rollout by which customers would lose something is refused unless exactly this loss is accepted. A suspension is there
to take something away in a hurry: it is refused only where it accepts another loss than it brings. With `dry_run` both
say what they would do; `If-Match` takes the entity tag of that answer, or of the item or the feature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.admin.loss_acceptance import AcceptLoss, accepted_loss
from tiergate.admin.rollout_requests import RolloutBody, check_note, read_instant
from tiergate.catalog import rollout_data, suspension_data
from tiergate.control.api.items import the_item
from tiergate.control.api.publish_responses import carried_out, dry_run
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.errors import BodyError, BodyProblem, NotFoundError
from tiergate.model import BEGINNING, FOREVER, Rollout, Suspension
from tiergate.naming import nearest
from tiergate.permissions import Action, Resource
from tiergate.publish.publish_plans import plan_resumption, plan_rollouts, plan_suspension
from tiergate.publish.review_tag import ReviewTags, is_review_tag
from tiergate.store.working_catalog import working_etags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.control.api.request import AdminRequest
    from tiergate.model import Instant
    from tiergate.publish.publisher import Publisher
    from tiergate.store import ReadUnit, WriteUnit


class _RolloutsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rollouts: list[RolloutBody]
    narrow: bool = False
    accept_loss: AcceptLoss = False
    note: str = ""
    dry_run: bool = False


class _OneRolloutBody(RolloutBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    narrow: bool = False
    accept_loss: AcceptLoss = False
    note: str = ""
    dry_run: bool = False


class _SuspensionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    start: str | None = msgspec.field(default=None, name="from")
    until: str | None = None
    reason: str = ""
    accept_loss: AcceptLoss = False
    dry_run: bool = False


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """The routes."""
    handlers = _Handlers(publisher)
    rollouts, suspensions = "/v1/items/{id}/rollouts", "/v1/features/{id}/suspensions"
    return [
        Endpoint("GET", rollouts, Action.VIEW, handlers.list_rollouts, the_item),
        Endpoint("PUT", rollouts, Action.EDIT_ROLLOUT, handlers.set_rollouts, the_item),
        Endpoint("POST", rollouts, Action.EDIT_ROLLOUT, handlers.add_rollout, the_item),
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

    # ── rollouts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def list_rollouts(self, request: AdminRequest) -> Answer:
        """Show which version of an item whom gets."""
        return request.read(lambda unit: _rollouts_answer(unit, request.params["id"]))

    def set_rollouts(self, request: AdminRequest) -> Answer:
        """Say anew which version of an item whom gets. It acts at once."""
        body = request.decode(_RolloutsBody)
        check_note(body.note)

        def change(_: tuple[Rollout, ...], now: Instant) -> Sequence[Rollout]:
            return [it.rollout(f"/rollouts/{place}", now) for place, it in enumerate(body.rollouts)]

        change((), 0)  # all that is wrong in the body is wrong at any time
        return self._change_rollouts(request, change, body)

    def add_rollout(self, request: AdminRequest) -> Answer:
        """Give a version of an item to more, as the last rollout. It acts at once."""
        body = request.decode(_OneRolloutBody)
        check_note(body.note)
        body.rollout("", 0)

        def change(before: tuple[Rollout, ...], now: Instant) -> Sequence[Rollout]:
            return (*before, body.rollout("", now))

        return self._change_rollouts(request, change, body)

    def _change_rollouts(
        self,
        request: AdminRequest,
        change: Callable[[tuple[Rollout, ...], Instant], Sequence[Rollout]],
        body: _RolloutsBody | _OneRolloutBody,
    ) -> Answer:
        id_ = request.params["id"]
        planner = plan_rollouts(id_, change, may_narrow=body.narrow, note=body.note)
        accepted, reviewed = accepted_loss(body.accept_loss), _reviewed_here(request)
        if body.dry_run:
            return dry_run(self._publisher, request, planner)

        def check(unit: WriteUnit) -> None:
            etag = working_etags(unit.session, (), [id_])[1].get(id_)
            if etag is not None and reviewed is None:
                request.check_etag("item", id_, etag)

        return carried_out(
            self._publisher, request, planner, check, weigh=True, accept_loss=accepted, reviewed=reviewed
        )

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
        start, until = read_instant(body.start, "/from"), read_instant(body.until, "/until")
        suspension = Suspension(
            "", BEGINNING if start is None else start, FOREVER if until is None else until, body.reason
        )
        check_note(body.reason, "/reason")
        if suspension.until <= suspension.start:
            raise BodyError([BodyProblem("/until", "empty-period", "`until` must be later than `from`")])
        planner = plan_suspension(request.params["id"], suspension, body.reason)
        accepted, reviewed = accepted_loss(body.accept_loss), _reviewed_here(request)
        if body.dry_run:
            return dry_run(self._publisher, request, planner)
        check = self._same_feature(request)
        return carried_out(self._publisher, request, planner, check, accept_loss=accepted, reviewed=reviewed)

    def resume(self, request: AdminRequest) -> Answer:
        """Take back a suspension of a feature for everybody."""
        number = request.params["number"]
        if not number.isdecimal() or len(number) > 9:
            raise NotFoundError("suspension", f"{request.params['id']}/{number}")
        planner = plan_resumption(request.params["id"], int(number), request.reason)
        check, reviewed = self._same_feature(request), _reviewed_here(request)
        return carried_out(self._publisher, request, planner, check, reviewed=reviewed)

    @staticmethod
    def _same_feature(request: AdminRequest) -> Callable[[WriteUnit], None]:
        id_, reviewed = request.params["id"], _reviewed_here(request)

        def check(unit: WriteUnit) -> None:
            etag = working_etags(unit.session, [id_], ())[0].get(id_)
            if etag is not None and reviewed is None:
                request.check_etag("feature", id_, etag)

        return check


def _reviewed_here(request: AdminRequest) -> ReviewTags | None:
    """What was reviewed, where `If-Match` has the tag of a dry run; else it has that of an item or a feature."""
    tags = request.entity_tags or ()
    return ReviewTags(tags) if any(is_review_tag(tag) for tag in tags) else None


def _rollouts_answer(unit: ReadUnit, id_: str) -> Answer:
    item = unit.published.index.items.get(id_)
    if item is None:
        raise NotFoundError("published item", id_)
    etag = working_etags(unit.session, (), [id_])[1].get(id_)
    said = {"rollouts": [rollout_data(rollout) for rollout in item.rollouts], "versions": item.versions}
    return Answer.json(said, etag=etag)
