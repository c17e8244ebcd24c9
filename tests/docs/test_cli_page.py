"""The reference of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docs.cli_page import Command, cli_page, commands
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from tests.conftest import Golden


def test_the_page_is_what_the_application_says(golden: Golden) -> None:
    """Every command, argument and option stands in the reference as it is, and nothing else does."""
    golden(ROOT / "docs" / "reference" / "cli.md", cli_page())


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: command.name)
def test_everything_that_can_be_written_is_explained(command: Command) -> None:
    """No command, argument or option is without its sentence of help."""
    assert command.help.endswith(".")
    unexplained = [parameter.usage for parameter in command.parameters if not parameter.help.endswith(".")]
    assert unexplained == []
