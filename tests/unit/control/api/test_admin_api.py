"""What the API logs of requests that fail: what an operator must look at, and nothing that was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.admin import identify_by_roles, serving_app
from tiergate.control.api.admin_api import AdminApi
from tiergate.control.api.router import Endpoint, Open
from tiergate.errors import RequestError, StoreError
from tiergate.permissions import shipped_roles
from tiergate.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.control.api.request import AdminRequest, Response


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}", migrating=True)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("error", "status", "logged"),
    [
        (RequestError(503, "not ready", "the database does not answer"), 503, []),
        (StoreError("away"), 503, [{"error", "request_id"}]),
        (ZeroDivisionError(), 500, [{"exc_info", "request_id"}]),
    ],
)
def test_only_what_nobody_expects_is_logged_with_a_traceback(
    store: Store, error: Exception, status: int, logged: list[set[str]]
) -> None:
    """A 503 on purpose is an answer, a failing database is an error, and a defect has its traceback."""

    async def fail(request: AdminRequest) -> Response:  # noqa: ARG001 - as every handler
        raise error

    endpoints = [Endpoint("GET", "/readyz", Open.ANYBODY, fail)]
    api = AdminApi(endpoints, identify=identify_by_roles, roles=shipped_roles, store=store)
    with capture_logs() as logs, serving_app(api) as admin:
        assert admin.client().get("/readyz").status_code == status
    assert [set(entry) - {"event", "log_level"} for entry in logs if entry["log_level"] == "error"] == logged
