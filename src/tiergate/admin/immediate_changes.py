"""Changes that take effect immediately, each by a publication of its own: rollouts, and suspensions for all customers.

Rollouts check the loss. A suspension is there to remove something quickly: it checks the loss only if one is accepted.

`BodyError` means that an entry is invalid. Planners raise `NotFoundError`; the check in the transaction raises
`PreconditionError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tiergate.admin.publishing import PublicationRequest
from tiergate.catalog import rollout_data, suspension_data
from tiergate.errors import NotFoundError
from tiergate.naming import nearest
from tiergate.publish.immediate_planner import plan_resumption, plan_rollouts, plan_suspension
from tiergate.store.working_catalog import working_etags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.admin.precondition import Precondition
    from tiergate.admin.publication_views import Members
    from tiergate.admin.results import Data
    from tiergate.admin.rollout_requests import RolloutBody
    from tiergate.model import Instant, Rollout, Suspension
    from tiergate.store import ReadUnit, WriteUnit


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
