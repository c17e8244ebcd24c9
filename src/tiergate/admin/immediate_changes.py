"""Changes that take effect immediately, each by a publication of its own: rollouts, and suspensions for all customers.

Rollouts check the loss. A suspension is there to remove something quickly: it checks the loss only if one is accepted.

Rollouts are read from JSON here: which customers get which version, and from when on; `at`: the JSON pointer of a
value.

`BodyError` means that a value is invalid. Planners raise `NotFoundError`; the check in the transaction raises
`PreconditionError`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from tiergate.admin.publishing import PublicationRequest
from tiergate.catalog import rollout_data, suspension_data
from tiergate.catalog.reading.fields import text_fault
from tiergate.errors import BodyError, BodyProblem, NotFoundError
from tiergate.model import Audience, AudienceType, Rollout, parse_instant
from tiergate.model.items import SHARE_STEPS
from tiergate.naming import is_id, nearest
from tiergate.publish.immediate_planner import plan_resumption, plan_rollouts, plan_suspension
from tiergate.publish.rollouts import RolloutTarget
from tiergate.store.working_catalog import working_etags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.admin.precondition import Precondition
    from tiergate.admin.publication_views import Members
    from tiergate.admin.results import Data
    from tiergate.model import Instant, Suspension
    from tiergate.store import ReadUnit, WriteUnit

_MAX_NOTE: Final = 10_000


class AudienceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The audience of a rollout: a share of the customers, or a tag."""

    share: Decimal | None = None
    tag: str | None = None


class RolloutTargetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The customers who get a version, and from when on."""

    audience: AudienceBody | Literal["everybody", "new"] = "everybody"
    start: str | None = msgspec.field(default=None, name="from")

    def target(self, at: str) -> RolloutTarget:
        """Return the target; `at`: its JSON pointer, for errors."""
        return RolloutTarget(_audience(self.audience, f"{at}/audience"), read_instant(self.start, f"{at}/from"))


class RolloutBody(RolloutTargetBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rollout of a version."""

    version: int

    def rollout(self, at: str, now: Instant) -> Rollout:
        """Return the rollout; raises as `target`."""
        return self.target(at).rollout(self.version, now)


def _audience(body: AudienceBody | str, at: str) -> Audience:
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
    if not 0 < steps <= SHARE_STEPS or steps != steps.to_integral_value():
        message = "must be a percentage above 0 and up to 100, of at most two decimal digits"
        raise BodyError([BodyProblem(f"{at}/share", "bad-number", message)])
    return Audience(AudienceType.SHARE, share=int(steps))


def read_instant(text: str | None, at: str) -> Instant | None:
    """Parse an instant, if there is one; `at`: its JSON pointer."""
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise BodyError([BodyProblem(at, "bad-instant", f"`{text[:100]}` {error}")]) from None


def check_note(text: str, at: str = "/note") -> None:
    """Check a note or a reason; an empty one is none."""
    fault = text_fault(text, _MAX_NOTE, prose=True) if text else None
    if fault is not None:
        raise BodyError([BodyProblem(at, *fault)])


def list_rollouts(unit: ReadUnit, id_: str) -> tuple[Members, int | None]:
    """Read the rollouts and the versions of a published item, and the version of the item for optimistic locking."""
    item = unit.published.index.items.get(id_)
    if item is None:
        raise NotFoundError("published item", id_)
    etag = working_etags(unit.session, (), [id_])[1].get(id_)
    return {"rollouts": [rollout_data(rollout) for rollout in item.rollouts], "versions": item.versions}, etag


def replace_rollouts(
    item: str, entries: Sequence[RolloutBody], expected: Precondition, *, may_narrow: bool, note: str
) -> PublicationRequest:
    """Request to replace the rollouts of a published item; `may_narrow`: customers may get a lower version."""

    def change(_: Sequence[Rollout], now: Instant) -> Sequence[Rollout]:
        return [entry.rollout(f"/rollouts/{place}", now) for place, entry in enumerate(entries)]

    change((), 0)  # an entry is invalid at any time or never
    planner = plan_rollouts(item, change, may_narrow=may_narrow, note=note)
    return PublicationRequest(planner, check=_etag_check("item", item, expected))


def append_rollout(
    item: str, entry: RolloutBody, expected: Precondition, *, may_narrow: bool, note: str
) -> PublicationRequest:
    """Request to add a last rollout to a published item."""
    entry.rollout("", 0)

    def change(before: Sequence[Rollout], now: Instant) -> Sequence[Rollout]:
        return (*before, entry.rollout("", now))

    planner = plan_rollouts(item, change, may_narrow=may_narrow, note=note)
    return PublicationRequest(planner, check=_etag_check("item", item, expected))


def list_suspensions(unit: ReadUnit, feature: str) -> list[Data]:
    """List the suspensions of a published feature for all customers, including past ones."""
    features = unit.published.index.features
    if feature not in features:
        raise NotFoundError("published feature", feature, nearest(feature, features))
    suspensions = enumerate(features[feature].suspensions, start=1)
    return [{"number": number, **suspension_data(suspension)} for number, suspension in suspensions]


def suspend_feature(feature: str, suspension: Suspension, expected: Precondition) -> PublicationRequest:
    """Request to suspend a published feature for all customers."""
    planner = plan_suspension(feature, suspension, suspension.reason)
    return PublicationRequest(planner, check=_etag_check("feature", feature, expected), checks_loss=False)


def resume_feature(feature: str, number: int, note: str, expected: Precondition) -> PublicationRequest:
    """Request to remove a suspension of a published feature; `number`: as `list_suspensions` counts."""
    planner = plan_resumption(feature, number, note)
    return PublicationRequest(planner, check=_etag_check("feature", feature, expected), checks_loss=False)


def _etag_check(kind: Literal["item", "feature"], id_: str, expected: Precondition) -> Callable[[WriteUnit], None]:
    def check(unit: WriteUnit) -> None:
        features, items = working_etags(unit.session, [id_], [id_])
        etag = (features if kind == "feature" else items).get(id_)
        if etag is not None:
            expected.check(kind, id_, etag)

    return check
