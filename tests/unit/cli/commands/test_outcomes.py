"""`tiergate outcomes report` and `show` at a sidecar."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.serving import Service, customer
from tiergate.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli

CATALOG = """\
apiVersion: tiergate/v1
features: [{id: movies, type: switch, service_level: {availability: 99, latency_ms: 300}}]
items: []
"""


def test_outcomes_are_reported_and_shown(cli: Cli, tmp_path: Path) -> None:
    """As text and as JSON; a mistake is the caller's."""
    service = Service(customer("acme"), catalog=CATALOG, outcomes=tmp_path / "outcomes")
    with service.serve() as where:
        at = ("--url", where.url)
        assert cli("outcomes", "show", "movies", *at).out == "no outcomes of movies\n"
        assert cli("outcomes", "report", "movies", "--duration-ms", "300.5", "--id", "a", *at).out == (
            "counted for movies\n"
        )
        again = cli("outcomes", "report", "movies", "--id", "a", "--json", *at)
        assert json.loads(again.out) == {"feature": "movies", "replayed": True}
        cli("outcomes", "report", "movies", "--failed", "--at", "2023-11-14T22:13:20Z", *at)
        shown = cli("outcomes", "show", "movies", *at).out.splitlines()
        assert shown[1].split(maxsplit=3) == ["2023-11-14T22:13Z", "2", "1", "1 over 300 ms"]
        (minute,) = json.loads(cli("outcomes", "show", "movies", "--from", "2023-11-14", "--json", *at).out)
        assert minute == {"minute": "2023-11-14T22:13:00.000Z", "requests": 2, "failed": 1, "slow": {"300": 1}}
        assert cli("outcomes", "report", "moves", *at).code == ExitCode.USAGE
        assert cli("outcomes", "show", "movies", "--from", "x", *at).code == ExitCode.USAGE
