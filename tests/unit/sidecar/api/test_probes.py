from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serving import NOW, Service, customer
from tiergate import __version__
from tiergate.model import Problem, format_instant
from tiergate.sidecar.api.probes import probes, status_members
from tiergate.sidecar.state import SourceReport, StatusReport

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class _Client:
    """A client of a sidecar's probe port."""

    def __init__(self, app: ASGIApp) -> None:
        self._transport = httpx.ASGITransport(app)

    def request(self, method: str, path: str, **rest: Any) -> httpx.Response:  # noqa: ANN401 - as httpx takes it
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://127.0.0.1:8438") as asking:
                return await asking.request(method, path, **rest)

        return asyncio.run(ask())

    def get(self, path: str, **rest: Any) -> httpx.Response:  # noqa: ANN401 - as httpx takes it
        return self.request("GET", path, **rest)


def client(service: Service) -> _Client:
    """A client of a sidecar's probe port."""
    return _Client(probes(service.state, service.metrics))


def test_a_process_without_data_is_live_but_not_ready() -> None:
    """It is to be left alone, and not to be asked yet."""
    asked = client(Service(ready=False))

    assert asked.get("/livez").status_code == 200
    answer = asked.get("/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["detail"] == "no data is loaded yet"


def test_a_process_with_data_is_ready() -> None:
    """It can decide."""
    assert client(Service(customer("acme"))).get("/readyz").json() == {"status": "ready"}


def test_a_process_that_goes_down_is_live_but_not_ready() -> None:
    """It still answers what is under way."""
    service = Service(customer("acme"))
    service.state.drain()
    asked = client(service)

    assert (asked.get("/livez").status_code, asked.get("/readyz").status_code) == (200, 503)


def test_the_status_says_by_what_is_decided() -> None:
    """Publication, revision, generation, and whether it is stale."""
    service = Service(customer("acme"))
    service.state.set_stale_at(NOW + 1_000)
    status = client(service).get("/status").json()

    assert service.state.current is not None
    assert status == {
        "version": __version__,
        "ready": True,
        "draining": False,
        "mode": "none",
        "publication": 1,
        "revision": service.state.current.revision,
        "generation": 1,
        "generation_at": format_instant(NOW),
        "stale": False,
        "unloaded": False,
        "stale_at": format_instant(NOW + 1_000),
        "quarantined": 0,
        "sources": [],
        "load": {"loading": False, "loads": 0, "failures": 0, "abandoned": 0, "problems": []},
    }


def test_the_status_says_what_is_wrong_with_which_file() -> None:
    """So that whoever edited it finds the place; the good state stays in force."""
    service = Service(customer("acme"))
    problem = Problem("catalog.yaml", 3, 7, "unknown-key", "`amout` is no key")
    service.state.report = lambda: StatusReport(
        mode="files",
        sources=(SourceReport(kind="catalog", location="/etc/catalog.yaml", changed_at=NOW),),
        position="41",
        loading=True,
        loaded_at=NOW - 5,
        failed_at=NOW,
        error="the catalog has 1 problem",
        problems=(problem,),
        loads=3,
        failures=1,
        load_seconds=0.25,
        customers=2,
        subscriptions=5,
    )
    status = client(service).get("/status").json()

    assert status["ready"] is True
    assert status["sources"] == [
        {"kind": "catalog", "location": "/etc/catalog.yaml", "changed_at": format_instant(NOW)}
    ]
    assert (status["mode"], status["position"], status["customers"], status["subscriptions"]) == ("files", "41", 2, 5)
    assert status["load"] == {
        "loading": True,
        "loads": 3,
        "failures": 1,
        "abandoned": 0,
        "loaded_at": format_instant(NOW - 5),
        "failed_at": format_instant(NOW),
        "seconds": 0.25,
        "error": "the catalog has 1 problem",
        "problems": [
            {
                "file": "catalog.yaml",
                "line": 3,
                "column": 7,
                "code": "unknown-key",
                "message": "`amout` is no key",
                "severity": "error",
            }
        ],
    }


def test_the_status_says_how_sync_goes() -> None:
    """How far behind it is, and since when; without sync there is none of it."""
    service = Service(customer("acme"))
    before = client(service).get("/status").json()
    service.state.report = lambda: StatusReport(
        mode="sync",
        position="41",
        latest=44,
        lag=3,
        last_sync_at=NOW - 500,
        sync_errors=2,
        max_staleness=60,
        control_plane="https://tiergate.example",
    )
    status = client(service).get("/status").json()

    assert {name: value for name, value in status.items() if name not in before} == {
        "position": "41",
        "latest": 44,
        "lag": 3,
        "last_sync_at": format_instant(NOW - 500),
        "sync_errors": 2,
        "max_staleness": 60.0,
        "control_plane": "https://tiergate.example",
    }


def test_every_member_of_the_status_is_documented() -> None:
    """In the table of the reference."""
    page = (Path(__file__).parents[4] / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    rows = page.partition("`/status` has these members:")[2].splitlines()
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")}

    assert documented == set(status_members(Service().state, None))


def test_the_metrics_are_prometheus_exposition() -> None:
    """Which its own parser reads."""
    answer = client(Service(customer("acme"))).get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert families["tiergate_ready"].samples[0].value == 1


@pytest.mark.parametrize(
    ("host", "status"),
    [("10.1.2.3:8438", 200), ("[fd00::1]:8438", 200), ("localhost", 200), ("evil.example", 421), ("tiergate", 421)],
)
def test_kubelets_and_scrapers_ask_by_address_and_pages_by_name(host: str, status: int) -> None:
    """A page whose name points here (DNS rebinding) cannot read them."""
    assert client(Service()).get("/livez", headers={"Host": host}).status_code == status


def test_a_foreign_page_is_refused() -> None:
    """Also where it asks by address."""
    assert client(Service()).get("/metrics", headers={"Origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/livez", 405)])
def test_what_it_does_not_know_is_a_problem(method: str, path: str, status: int) -> None:
    """As at the API."""
    answer = client(Service()).request(method, path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_a_body_is_refused() -> None:
    """None of them takes one."""
    assert client(Service()).request("GET", "/livez", content=b"x").status_code == 413


def test_probes_read_no_data_of_any_customer() -> None:
    """Neither ids nor what somebody holds."""
    service = Service(customer("acme"))
    asked = client(service)
    texts = [asked.get(path).text for path in ("/livez", "/readyz", "/status", "/metrics")]

    assert not any("acme" in text for text in texts)
