"""`tiergate up`: run a control plane and a sidecar on this machine, with the sample."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.optional_dependencies import require_control_plane
from tiergate.cli.output.console import print_line, show_activity
from tiergate.errors import OperatorError
from tiergate.process.termination import mark_arrived

if TYPE_CHECKING:
    from tiergate.cli.local_stack import LocalStack, Ports
    from tiergate.process.server_process import ServerProcess

app = typer.Typer()

_CONTROL_PORT, _SIDECAR_PORT = 8440, 8437
_POLL_INTERVAL = 0.3


@app.command()
def up(
    *,
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="The folder for everything: store, keys, replica.")
    ] = Path("tiergate-data"),
    control_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="The control plane's port; 0: any free one.")
    ] = _CONTROL_PORT,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65534, metavar="PORT", help="The sidecar's port; its probes use the next. 0: any free two."
        ),
    ] = _SIDECAR_PORT,
    sample: Annotated[bool, typer.Option(help="Load the sample into a new store.")] = True,
) -> None:
    """Run a control plane and a sidecar on SQLite together, with a sample to try.

    Ctrl-C stops both. A second `up` continues with the same data. For production, run each part by itself.
    """
    require_control_plane()
    from tiergate.cli.local_stack import LocalStack, Ports, load_sample
    from tiergate.cli.sample_catalog import copy_sample

    ports = Ports.find(control_port, port)
    stack = LocalStack(data)
    try:
        with ExitStack() as running, show_activity("starting"):
            running.enter_context(stack.lock())
            is_new = stack.prepare(ports)
            control = running.enter_context(stack.run_control_plane(ports))
            client = stack.client(ports)
            if sample:
                load_sample(client, copy_sample(stack.sample))
            is_published = bool(client.call("GET", "/v1/export")["publication"])
            sidecar = running.enter_context(stack.run_sidecar(ports, wait=is_published))
            if is_new:
                print_line("The admin's key, shown only now. It is also in a file that only you can read:", "bold")
                print_line(f"{stack.admin_key.read_text().strip()}\n{stack.admin_key}\n")
            _print_next_steps(stack, ports, sample=sample)
            sys.stdout.flush()
            for process in (control, sidecar):
                process.show_log()
            _wait_for_end(control, sidecar)
    except KeyboardInterrupt as end:
        mark_arrived(end)
        return


def _wait_for_end(*processes: ServerProcess) -> None:
    while all(process.process.poll() is None for process in processes):
        time.sleep(_POLL_INTERVAL)
    raise OperatorError("one of the two processes has ended: see its log")


def _print_next_steps(stack: LocalStack, ports: Ports, *, sample: bool) -> None:
    from tiergate.cli.demo_script import CHANGE, STORY, curl

    key = stack.admin_key.absolute()
    if sample:
        print_line("Ready. In another terminal, check whether Ada may watch one more movie:", "bold")
        print_line(curl(ports.sidecar_url, STORY[2].check))
        print_line("\nReduce the movies of Gold, publish, and check again:", "bold")
        print_line(f"KEY=$(cat {key})")
        for request in CHANGE:
            print_line(request.curl(ports.control_url))
    else:
        print_line("Ready. In another terminal, publish your own catalog:", "bold")
        print_line(f"tiergate apply -f catalog.yaml --control-plane {ports.control_url} --key-file {key}")
    print_line("\nThe API:", "bold")
    print_line(f"curl -s {ports.control_url}/openapi.json")
    print_line("\nCtrl-C stops both; `tiergate up` continues with the same data.\n", "bold")
