"""`tiergate usage leases`, `write-off` and `allocation` at a control plane."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.unit.control.usage_plane import usage_plane
from tiergate.cli.exit_codes import ExitCode
from tiergate.model import BEGINNING
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.leases import holder_name
from tiergate.usage.protocol import Acquire, Hello, Need, Request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli, Ran

IDENTITY = "a-secret-of-the-sidecar"
NAME = holder_name(IDENTITY)
CREDITS = Account("credits", Scope.CUSTOMER, "acme", "", BEGINNING)


def test_leases_are_listed_and_written_off(sqlite_url: str, cli: Cli, tmp_path: Path) -> None:
    """With a reason in any language."""
    with usage_plane(sqlite_url) as plane:
        (tmp_path / "key").write_text("admin")

        def usage(command: str, *args: str) -> Ran:
            return cli("usage", command, "--key-file", tmp_path / "key", "--control-plane", plane.admin.url, *args)

        assert usage("leases").out == "no leases\n"
        plane.ledger.exchange(Request(IDENTITY, 1, b"i", 1, (Hello(0, 0),)))
        acquire = Acquire(plane.clock[0], (Need(CREDITS, 70, 70),))
        plane.ledger.exchange(Request(IDENTITY, 1, b"i", 2, (acquire,)))
        refused = usage("write-off", NAME, "--reason", "weg")
        assert (refused.code, "have not expired" in refused.err) == (ExitCode.USAGE, True)
        plane.wait("2027-01-15T09:00:00Z")
        (lease,) = json.loads(usage("leases", NAME, "--customer", "acme", "--feature", "credits", "--json").out)
        assert (lease["holder"], lease["amount"], lease["state"]) == (NAME, 7, "expired")
        assert usage("leases").out.splitlines()[1].split()[:6] == [NAME, "acme", "credits", "7", "0", "expired"]
        done = usage("write-off", NAME, "--reason", "Gerät weg", "--spent", "none", "--customer", "acme")
        assert done.out == "written off as not spent: 7 of credits, acme\n"
        (entry,) = plane.admin.as_("admin").get("/v1/audit?action=usage.written_off").json()["items"]
        assert (entry["reason"], entry["after"]["spent"]) == ("Gerät weg", "none")


def test_allocation_is_shown_by_features(sqlite_url: str, cli: Cli, tmp_path: Path) -> None:
    """All of them or one, narrowed by tag and item; at an instant in the past."""
    with usage_plane(sqlite_url) as plane:
        (tmp_path / "key").write_text("admin")

        def allocation(*args: str) -> Ran:
            connection = ("--key-file", tmp_path / "key", "--control-plane", plane.admin.url)
            return cli("usage", "allocation", *connection, *args)

        plane.report(amount=80)
        lines = [line.split() for line in allocation().out.splitlines()]
        assert [line[0] for line in lines] == ["feature", "calls", "credits", "exports", "renders", "trips"]
        assert lines[1][1:] == ["1", "0", "100", "80", "80.0%", "0", "0", "1", "0", "0", "0"]
        (found,) = json.loads(allocation("calls", "--item", "gold", "--json").out)
        assert (found["feature"], found["used"]) == ("calls", 80)
        (found,) = json.loads(allocation("calls", "--tag", "eu", "--tag", "beta", "--json").out)
        assert found["customers"] == 0
        (found,) = json.loads(allocation("calls", "--at", "2027-01-02T00:00:00Z", "--json").out)
        assert found["customers"] == 1
        assert allocation("seats").code == ExitCode.USAGE
