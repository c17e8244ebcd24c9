"""`tiergate demo`: the sample, compiled, published, followed by a sidecar, asked aloud, and changed by a publish."""

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

from tiergate.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tiergate.cli.local_stack import Household, Ports
    from tiergate.cli.sample_catalog import Sample
    from tiergate.client import Answer, Sidecar
    from tiergate.model import Check

app = typer.Typer()

_PORT = 8437
_TIMEOUT = 5.0
_FOLLOWED_WITHIN = 20.0
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
            help="The sidecar's port; its probes take the next, the control plane any that is free. 0: any for all.",
        ),
    ] = _PORT,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to put everything, and leave it; default: a temporary one."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the change instead of listening on.")] = False,
) -> None:
    """Publish a sample catalog, let a sidecar follow, ask it checks of every type, and change an answer, aloud.

    Both then listen on until Ctrl-C. Without a terminal, the demo ends after the change.
    """
    from tiergate.cli.optional_dependencies import need_control_plane

    need_control_plane()
    from tiergate.cli.local_stack import Household, Ports, load_sample
    from tiergate.cli.output.console import say
    from tiergate.cli.sample_catalog import copy_sample
    from tiergate.client import Sidecar
    from tiergate.process.server_process import find_port, find_ports

    ports = Ports(find_port(0), *find_ports(port))
    with _folder(folder) as place, ExitStack() as running:
        sample = copy_sample(place / "sample")
        _compile(sample, place / "bundle")
        household = Household(place)
        household.furnish(ports)
        say("\nStarting a control plane and publishing this there, with nine customers:", "bold")
        control = running.enter_context(household.running_control(ports))
        client = running.enter_context(household.client(ports))
        load_sample(client, sample)
        say(f"http://127.0.0.1:{ports.control}")
        say("\nStarting a sidecar that follows it, and answers from its own disk:", "bold")
        sidecar = running.enter_context(household.running_sidecar(ports))
        say(f"http://127.0.0.1:{ports.sidecar}")
        with Sidecar(f"http://127.0.0.1:{ports.sidecar}", timeout=_TIMEOUT) as asker:
            _ask(asker, f"http://127.0.0.1:{ports.sidecar}")
            _change(client, asker, ports)
        if once or not sys.stdin.isatty():
            return
        _invite(household, ports)
        for process in (control, sidecar):
            process.show_log()
        try:
            sidecar.wait()
        except KeyboardInterrupt:
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
    from tiergate.cli.output.console import say
    from tiergate.naming import item_policies_path

    say("A streaming service's plans, add-ons and features:", "bold")
    say(str(sample.catalog))
    bundle.write_bundle(publish.compile_bundle([sample.catalog], sample.rules), output)
    compiled = bundle.Bundle.open(output)
    versions = sum(len(item.versions) for item in compiled.index.items.values())
    say(f"\nCompiled: {len(compiled.index.features)} features, {versions} items. One of them in Cedar:", "bold")
    version, policy = _SHOWN_POLICY
    path = item_policies_path(version)
    say(str(output / path))
    say(next(text for _, text in split_policies(compiled.text(path)) if f'@id("{policy}")' in text))


def _ask(sidecar: Sidecar, url: str) -> None:
    from tiergate.cli.demo_script import STORY, curl
    from tiergate.cli.output.console import say

    for step in STORY:
        say("\n" + textwrap.fill(step.question, _WIDTH), "bold")
        say(curl(url, step.check), "dim")
        _tell(_answer(sidecar, step.check))


def _change(client: httpx.Client, sidecar: Sidecar, ports: Ports) -> None:
    """Publish a change, and wait until the sidecar answers by it."""
    from tiergate.cli.demo_script import CHANGE, CHANGED, curl
    from tiergate.cli.local_stack import asked
    from tiergate.cli.output.console import say

    say("\n" + textwrap.fill(CHANGED.question, _WIDTH), "bold")
    for request in CHANGE:
        say(request.curl(f"http://127.0.0.1:{ports.control}"), "dim")
        said = asked(client, request.method, request.path, request.body)
    begun = time.monotonic()
    publication = said["publication"]
    while (answer := _answer(sidecar, CHANGED.check)).publication < publication:
        if time.monotonic() - begun > _FOLLOWED_WITHIN:
            raise OperatorError(f"the sidecar did not follow publication {publication}")
        time.sleep(0.001)
    waited = time.monotonic() - begun
    say(f"Published as publication {publication}; the sidecar decides with it after {1000 * waited:.0f} ms:", "bold")
    say(curl(f"http://127.0.0.1:{ports.sidecar}", CHANGED.check), "dim")
    _tell(answer)


def _answer(sidecar: Sidecar, check: Check) -> Answer:
    from tiergate.client import read_answer, read_json

    return read_answer(read_json(sidecar.ask(check)))


def _tell(answer: Answer) -> None:
    from tiergate.cli.output.console import say, say_table
    from tiergate.cli.output.decision import lines, verdict

    say(verdict(answer), "green" if answer.allowed else "red")
    say_table(lines(answer))


def _invite(household: Household, ports: Ports) -> None:
    from tiergate.cli.demo_script import CHANGED, REVERT, curl
    from tiergate.cli.output.console import say

    url, control = f"http://127.0.0.1:{ports.sidecar}", f"http://127.0.0.1:{ports.control}"
    elsewhere = "" if ports.sidecar == _PORT else f" --url {url}"
    say("\nBoth listen on. Try, in another terminal:", "bold")
    say(curl(url, CHANGED.check))
    say(f"curl -s '{url}/v1/entitlements?subject=ada'")
    say(f"curl -s http://127.0.0.1:{ports.probes}/status")
    say(f"{_command()} check ada movies --used 69{elsewhere}")
    say("\nOr give Gold its movies back, and ask again:", "bold")
    say(f"KEY=$(cat {household.admin_key.absolute()})")
    for request in REVERT:
        say(request.curl(control))
    say("\nCtrl-C ends it.", "bold")


def _command() -> str:
    """How this command was called: as it is found on the path, else as it stands."""
    called = Path(sys.argv[0])
    if called.name != "tiergate":
        return f"{sys.executable} -m tiergate"
    if shutil.which("tiergate") == str(called.absolute()):
        return "tiergate"
    return str(called)
