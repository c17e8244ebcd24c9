from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tiergate import __version__

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli


def test_the_version_comes_first(cli: Cli) -> None:
    """The first line says what is installed."""
    assert cli("version").out.splitlines()[0] == f"tiergate {__version__}"


def test_the_version_is_json_where_a_program_asked(cli: Cli) -> None:
    """With `--json` every part has its version."""
    document = json.loads(cli("version", "--json").out)
    assert document["tiergate"] == __version__
    assert set(document) == {"tiergate", "bundle_format", "cedarpy", "python"}
