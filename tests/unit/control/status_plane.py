"""What the tests of status share: two features, and a clock that is set by hand."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.admin import serving
from tiergate.admin.status_clock import tell_statuses
from tiergate.control.api import audit, erasure, events, features, items, status
from tiergate.feed.lines import StatusChange, read_line
from tiergate.model import parse_instant
from tiergate.store import Store
from tiergate.store.feed_reader import read_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin

NOW = "2027-01-15T08:00:00.000Z"
REPORTS = "/v1/status/reports"


class StatusPlane:
    """A control plane whose clock stands until it is set. Operations ask."""

    def __init__(self, admin: Admin, store: Store, clock: list[int]) -> None:
        self.admin, self.store, self._clock = admin, store, clock
        self.client: httpx.Client = admin.as_("operations")

    def wait(self, until: str, *, telling: bool = True) -> None:
        """Let time pass until a time of day, and tell what happens by itself."""
        self._clock[0] = parse_instant(f"2027-01-15T{until}:00Z")
        if telling:
            tell_statuses(self.store)

    def report(self, status: str = "down", **members: object) -> str:
        """Report the status of `calls`, and return the report's id."""
        answer = self.client.post(REPORTS, json={"feature": "calls", "status": status} | members)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def shown(self, feature: str = "calls") -> str:
        """The status that a feature has now."""
        return str(self.client.get(f"/v1/features/{feature}/status").json()["status"])

    def events(self, *types: str) -> list[tuple[str, object]]:
        """The events of some types: their times of day, and what became of what."""
        found = self.admin.as_("admin").get(f"/v1/events?type={','.join(types or ('status.changed',))}").json()["items"]
        return [(it["timestamp"][11:16], _change(it["data"])) for it in found]

    def lines(self) -> list[list[tuple[str, str]]]:
        """The statuses and starts in each line of the feed about `calls`."""
        page = self.store.read(lambda unit: read_page(unit.session, 0, limit=500, max_bytes=10**6))
        changes = [read_line(line.line) for line in page.lines]
        return [
            [(it.status.value, clock_time(it.start)) for it in change.reports]
            for change in changes
            if isinstance(change, StatusChange) and change.feature == "calls"
        ]


def _change(data: dict[str, Any]) -> object:
    return (data["before"], data["after"]) if "after" in data else data


def clock_time(instant: int) -> str:
    """The time of day of an instant."""
    minutes = instant // 60_000 % 1440
    return f"{minutes // 60:02}:{minutes % 60:02}"


@contextmanager
def status_plane(store_url: str) -> Iterator[StatusPlane]:
    """Serve a store with the features `calls` and `mail` at 8 o'clock."""
    clock = [parse_instant(NOW)]
    store = Store.open(store_url, clock=lambda: clock[0], migrating=True)
    modules = (status, features, items, events, audit, erasure)
    try:
        with serving(store, [route for module in modules for route in module.endpoints()]) as admin:
            client = admin.as_("admin")
            for id_ in ("calls", "mail"):
                assert client.post("/v1/features", json={"id": id_, "type": "switch"}).status_code == 201
            yield StatusPlane(admin, store, clock)
    finally:
        store.close()
