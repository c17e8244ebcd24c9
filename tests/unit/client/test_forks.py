"""A client that was made, and asked, before a fork: each process gets the answers to its own questions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.serving import Service, customer
from tiergate.client.connections import Connections

if TYPE_CHECKING:
    from tests.unit.client.conftest import Server


@pytest.mark.parametrize("uds", [False, True])
def test_processes_of_a_fork_get_the_answers_to_their_own_questions(uds: bool) -> None:
    """Whether a server forks by itself or through `multiprocessing`, over TCP and a Unix socket."""
    with Service(customer("acme"), customer("bob", "silver")).serve(uds=uds) as where:
        url = f"unix:{where.path}" if uds else where.url
        ran = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("forking.py")), url],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_child_asks_over_a_connection_of_its_own(server: Server) -> None:
    """It drops its parent's, which the parent goes on with."""
    connections = Connections(server.url, 5)
    connections.request("GET", "/", None, {})
    child = os.fork()
    if not child:
        connections.request("GET", "/", None, {})
        connections.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    connections.request("GET", "/", None, {})
    connections.close()
    assert (len(server.requests), server.connections) == (3, 2)
