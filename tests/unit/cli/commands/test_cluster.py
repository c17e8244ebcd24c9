"""What `tiergate cluster` refuses. What it does in a cluster is tested in one: tests/kubernetes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tiergate.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to create"),
        (("--signing-key", "Upper"), "`Upper` is not the name of a Secret"),
        (("--admin-key", "../default/other"), "`../default/other` is not the name of a Secret"),
        (("--signing-key", "one", "--admin-key", "one"), "`one` is the Secret of `--signing-key` already"),
        (("--signing-key", "one"), "not a pod"),
    ],
)
def test_what_cannot_be_created_is_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    """Before anybody is asked for anything."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    ran = cli("cluster", "create-secrets", *arguments)
    assert ran.code == ExitCode.USAGE
    assert said in ran.err
    assert ran.out == ""
