"""What works without the extras."""

from __future__ import annotations

import subprocess
import sys

import pytest

# As in an installation without them: importing them fails, and they are not to be found.
WITHOUT = """
import importlib.util, sys
absent = {"alembic", "jwt", "obstore", "psycopg", "sqlalchemy", "sqlmodel", "standardwebhooks"}
sys.modules.update(dict.fromkeys(absent))
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in absent else found(name, package)
from tiergate.cli import main
main()
"""


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a sidecar's installation."""
    return subprocess.run([sys.executable, "-c", WITHOUT, *args], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["version", "sidecar --help", "check --help", "apply --help", "migrate --help"])
def test_a_sidecars_installation_answers(command: str) -> None:
    """Commands say what they are, and nothing of the control plane is imported for it."""
    done = run(*command.split())
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["migrate --database sqlite:///x", "control-plane", "up"])
def test_what_needs_the_control_plane_says_so(command: str) -> None:
    """It is the operator's to install, and the message says how."""
    done = run(*command.split())
    assert done.returncode == 4
    assert "pip install 'tiergate[control-plane]'" in done.stderr
