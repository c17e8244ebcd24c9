"""`tiergate demo`: publish the sample, start a sidecar, print each check and its answer, and publish a change."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.optional_dependencies import require_control_plane
from tiergate.cli.output.console import print_line
from tiergate.errors import OperatorError
from tiergate.process.termination import mark_arrived

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.local_stack import LocalStack, Ports
    from tiergate.cli.sample_catalog import Sample
    from tiergate.client import Answer, Sidecar
    from tiergate.model import Check

app = typer.Typer()

_PORT = 8437
_TIMEOUT = 5.0
_SYNC_TIMEOUT = 20.0
_WIDTH = 100
_SHOWN_POLICY = ("plan/gold@1", "plan/gold@1/movies")


@app.command()
def demo(
    *,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65534,
            metavar="PORT",
            help="The sidecar's port; its probes use the next, the control plane any free one. 0: any for all.",
        ),
    ] = _PORT,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder for all files, which stays; default: a temporary one."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the change instead of running on.")] = False,
) -> None:
    """Publish a sample catalog, start a sidecar, print checks of every type with their answers, and publish a change.

    Control plane and sidecar then run until Ctrl-C. Without a terminal, the demo ends after the change.
    """
    require_control_plane()
    from tiergate.cli.local_stack import LocalStack, Ports, load_sample
    from tiergate.cli.sample_catalog import copy_sample
    from tiergate.client import Sidecar

    ports = Ports.find(0, port)
    with _folder(folder) as place, ExitStack() as running:
        sample = copy_sample(place / "sample")
        _compile(sample, place / "bundle")
        stack = LocalStack(place)
        stack.prepare(ports)
        print_line("\nStarting a control plane and publishing this there, with nine customers:", "bold")
        control = running.enter_context(stack.run_control_plane(ports))
        client = stack.client(ports)
        load_sample(client, sample)
        print_line(ports.control_url)
        print_line("\nStarting a sidecar that follows it, and answers from its own disk:", "bold")
        sidecar = running.enter_context(stack.run_sidecar(ports))
        print_line(ports.sidecar_url)
        with Sidecar(ports.sidecar_url, timeout=_TIMEOUT) as checker:
            _run_checks(checker, ports.sidecar_url)
            _publish_change(client, checker, ports)
        if once or not sys.stdin.isatty():
            return
        _print_next_steps(stack, ports)
        for process in (control, sidecar):
            process.show_log()
        try:
            sidecar.wait()
        except KeyboardInterrupt as end:
            mark_arrived(end)
            return
        raise OperatorError("the sidecar has ended")


@contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory(prefix="tiergate-demo-") as temporary:
        yield Path(temporary)


def _compile(sample: Sample, output: Path) -> None:
    from tiergate import bundle, publish
    from tiergate.cedar import split_policies
    from tiergate.naming import item_policies_path

    print_line("A streaming service's plans, add-ons and features:", "bold")
    print_line(str(sample.catalog))
    bundle.write_bundle(publish.compile_bundle([sample.catalog], sample.rules), output)
    compiled = bundle.Bundle.open(output)
    versions = sum(len(item.versions) for item in compiled.index.items.values())
    print_line(f"\nCompiled: {len(compiled.index.features)} features, {versions} items. One of them in Cedar:", "bold")
    version, policy = _SHOWN_POLICY
    path = item_policies_path(version)
    print_line(str(output / path))
    print_line(next(text for _, text in split_policies(compiled.text(path)) if f'@id("{policy}")' in text))


def _run_checks(sidecar: Sidecar, url: str) -> None:
    from tiergate.cli.demo_script import STORY, curl
    from tiergate.cli.output.decision import print_answer

    for step in STORY:
        print_line("\n" + textwrap.fill(step.question, _WIDTH), "bold")
        print_line(curl(url, step.check), "dim")
        print_answer(_check(sidecar, step.check))


def _publish_change(client: ControlPlane, sidecar: Sidecar, ports: Ports) -> None:
    """Publish a change, and wait until the sidecar decides with it."""
    from tiergate.cli.demo_script import CHANGE, CHANGED, curl
    from tiergate.cli.output.decision import print_answer

    print_line("\n" + textwrap.fill(CHANGED.question, _WIDTH), "bold")
    for request in CHANGE:
        print_line(request.curl(ports.control_url), "dim")
        result = client.call(request.method, request.path, body=request.body)
    start = time.monotonic()
    publication = result["publication"]
    while (answer := _check(sidecar, CHANGED.check)).publication < publication:
        if time.monotonic() - start > _SYNC_TIMEOUT:
            raise OperatorError(f"the sidecar did not load publication {publication}")
        time.sleep(0.001)
    milliseconds = 1000 * (time.monotonic() - start)
    print_line(
        f"Published as publication {publication}; the sidecar decides with it after {milliseconds:.0f} ms:", "bold"
    )
    print_line(curl(ports.sidecar_url, CHANGED.check), "dim")
    print_answer(answer)


def _check(sidecar: Sidecar, check: Check) -> Answer:
    from tiergate.client import read_answer, read_json

    return read_answer(read_json(sidecar.ask(check)))


def _print_next_steps(stack: LocalStack, ports: Ports) -> None:
    from tiergate.cli.demo_script import CHANGED, REVERT, curl

    url = ports.sidecar_url
    url_option = "" if ports.sidecar == _PORT else f" --url {url}"
    print_line("\nBoth keep running. In another terminal, try:", "bold")
    print_line(curl(url, CHANGED.check))
    print_line(f"curl -s '{url}/v1/entitlements?subject=ada'")
    print_line(f"curl -s {ports.status_url}")
    print_line(f"{_command()} check ada movies --used 69{url_option}")
    print_line("\nOr restore the movies of Gold, and check again:", "bold")
    print_line(f"KEY=$(cat {stack.admin_key.absolute()})")
    for request in REVERT:
        print_line(request.curl(ports.control_url))
    print_line("\nCtrl-C stops both.", "bold")


def _command() -> str:
    """Return how to call this command again: by its name if it is on the path, else by its file."""
    called = Path(sys.argv[0])
    if called.name != "tiergate":
        return f"{sys.executable} -m tiergate"
    if shutil.which("tiergate") == str(called.absolute()):
        return "tiergate"
    return str(called)
