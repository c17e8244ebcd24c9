"""A store with service levels that were promised on 1 April, served, for tests of how they are kept."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import delete, insert

from tests.admin import serving
from tests.publishing import Press
from tiergate.control.api import features, items, publishing, service_levels
from tiergate.model import Status, parse_instant
from tiergate.store import SYSTEM, Store
from tiergate.store.tables import STATUS_REPORTS, STATUS_SILENCES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

CATALOG: Final = """\
apiVersion: tiergate/v1
features:
  - {id: api, type: switch, tags: [core], service_level: {availability: 99.9, latency_ms: 300}}
  - {id: chat, type: switch, service_level: {availability: 99, window: week, spent_by: degraded}}
  - {id: plain, type: switch}
items:
  - {id: basic, kind: plan, entitlements: {api: true, chat: true, plain: true}}
  - id: premium
    kind: plan
    entitlements: {api: true, chat: true, plain: true}
    service_levels: {api: {availability: 99.99, latency_ms: 100}, plain: {availability: 95}}
"""
HOUR: Final = 3_600_000
PUBLISHED: Final = parse_instant("2027-04-01")
JUNE: Final = parse_instant("2027-06-01")
NOW: Final = parse_instant("2027-06-15T12:00:00Z")
JUNE_MS: Final = 30 * 24 * HOUR


class Plane(NamedTuple):
    """A store with a catalog that was published on 1 April, its clock, and a client that may only look."""

    press: Press
    clock: list[int]
    viewer: httpx.Client
    admin: httpx.Client

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - any JSON
        """What a viewer is answered."""
        answer = self.viewer.get(path, params={name.rstrip("_"): value for name, value in query.items()})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def report(self, feature: str, status: Status, start: int, until: int, audience: str | None = None) -> str:
        """Write a report of a monitor."""
        row: dict[str, object] = dict.fromkeys(("etag", "created_at", "updated_at"), 1)
        row |= dict.fromkeys(("created_by", "updated_by"), "ops") | {"audience": audience}
        row |= {"id": f"{feature}-{start}-{status}", "feature": feature, "status": status.value}
        row |= {"start": start, "until": until, "reporter_kind": "monitor", "reporter": "probe"}
        self.press.store.change(lambda unit: unit.session.connection().execute(insert(STATUS_REPORTS), [row]), SYSTEM)
        return str(row["id"])

    def forget(self) -> None:
        """Be on 15 June at noon, without any report."""
        self.clock[0] = NOW

        def work(unit: Any) -> None:  # noqa: ANN401 - a unit
            for table in (STATUS_REPORTS, STATUS_SILENCES):
                unit.session.connection().execute(delete(table))

        self.press.store.change(work, SYSTEM)


@contextmanager
def serve_levels(template: Path, folder: Path) -> Iterator[Plane]:
    """Serve the API on SQLite."""
    clock = [PUBLISHED]
    path = shutil.copy(template, folder / "store.db")
    store = Store.open(f"sqlite:///{path}", clock=lambda: clock[0])
    press = Press(store)
    press.apply(CATALOG)
    routes = [*features.endpoints(), *items.endpoints(), *service_levels.endpoints()]
    with serving(store, [*routes, *publishing.endpoints(press.publisher)]) as admin:
        yield Plane(press, clock, admin.as_("analyst"), admin.as_("admin"))
    store.close()
