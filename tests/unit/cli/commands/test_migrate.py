from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.cli.exit_codes import ExitCode
from tiergate.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli


def test_a_store_is_made_where_there_is_none(cli: Cli, tmp_path: Path) -> None:
    """The command makes the database, which can then be served; a second time it changes nothing."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    first = cli("migrate", "--database", url)
    assert first.code == ExitCode.OK
    store = Store.open(url)
    store.close()
    assert store.id in first.out
    assert cli("migrate", "--database", url).out == first.out


def test_a_database_that_cannot_be_used_is_the_operators_to_mend(cli: Cli, tmp_path: Path) -> None:
    """The command says what is the matter, and ends with the operator's exit code."""
    result = cli("migrate", "--database", f"sqlite:///{tmp_path / 'nowhere' / 'store.sqlite'}")
    assert result.code == ExitCode.OPERATOR
    assert "the database cannot be used" in result.err
