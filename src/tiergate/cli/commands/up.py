"""`tiergate up`: a control plane and a sidecar on this machine, in one command, with the sample loaded."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.errors import OperatorError

if TYPE_CHECKING:
    from tiergate.cli.local_stack import Household, Ports
    from tiergate.process.server_process import ServerProcess

app = typer.Typer()

_CONTROL, _SIDECAR = 8440, 8437
_LOOK = 0.3


@app.command()
def up(
    *,
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="The folder that keeps everything: store, keys, replica.")
    ] = Path("tiergate-data"),
    control_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="The control plane's port; 0: any that is free.")
    ] = _CONTROL,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65534, metavar="PORT", help="The sidecar's port; its probes take the next. 0: any two."
        ),
    ] = _SIDECAR,
    sample: Annotated[bool, typer.Option(help="Load the sample into a store that is new.")] = True,
) -> None:
    """Run a control plane and a sidecar on SQLite together, with a sample to try.

    Ctrl-C ends both. A second `up` goes on with the same data. For production, run each part by itself.
    """
    from tiergate.cli.optional_dependencies import need_control_plane

    need_control_plane()
    from tiergate.cli.local_stack import Household, Ports, asked, load_sample
    from tiergate.cli.output.console import say, working
    from tiergate.cli.sample_catalog import copy_sample
    from tiergate.process.server_process import find_port, find_ports

    ports = Ports(find_port(control_port, "--control-port"), *find_ports(port))
    household = Household(data)
    try:
        with ExitStack() as running, working("starting"):
            running.enter_context(household.alone())
            is_new = household.furnish(ports)
            control = running.enter_context(household.running_control(ports))
            with household.client(ports) as client:
                if sample:
                    load_sample(client, copy_sample(household.sample))
                published = bool(asked(client, "GET", "/v1/export")["publication"])
            sidecar = running.enter_context(household.running_sidecar(ports, waiting=published))
            if is_new:
                say("The admin's key, shown this once and kept in a file for you alone:", "bold")
                say(f"{household.admin_key.read_text().strip()}\n{household.admin_key}\n")
            _invite(household, ports, sample=sample)
            sys.stdout.flush()
            for process in (control, sidecar):
                process.show_log()
            _wait(control, sidecar)
    except KeyboardInterrupt:
        return


def _wait(*processes: ServerProcess) -> None:
    """Wait until one of them ends, which none should."""
    while all(process.process.poll() is None for process in processes):
        time.sleep(_LOOK)
    raise OperatorError("one of the two processes has ended; its log says why")


def _invite(household: Household, ports: Ports, *, sample: bool) -> None:
    from tiergate.cli.demo_script import CHANGE, STORY, curl
    from tiergate.cli.output.console import say

    control, sidecar = (f"http://127.0.0.1:{port}" for port in (ports.control, ports.sidecar))
    key = household.admin_key.absolute()
    if sample:
        say("Ready. In another terminal, ask the sidecar whether Ada may watch one more movie:", "bold")
        say(curl(sidecar, STORY[2].check))
        say("\nGive Gold fewer movies, publish, and ask again:", "bold")
        say(f"KEY=$(cat {key})")
        for step in CHANGE:
            say(step.curl(control))
    else:
        say("Ready. In another terminal, publish a catalog of yours:", "bold")
        say(f"tiergate apply -f catalog.yaml --control-plane {control} --key-file {key}")
    say("\nThe API:", "bold")
    say(f"curl -s {control}/openapi.json")
    say("\nCtrl-C ends both; `tiergate up` goes on with the same data.\n", "bold")
