"""`tiergate demo`: the sample, compiled, served and asked aloud."""

from __future__ import annotations

import shutil
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.cli.sample import Sample

__all__ = ["app"]

app = typer.Typer()

_PORT = 8437
_TIMEOUT = 5.0
_WIDTH = 100
_SHOWN_POLICY = ("plan/gold@1", "plan/gold@1/movies")


@app.command()
def demo(
    *,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65534, metavar="PORT", help="The sidecar's port; its probes take the next. 0: any two."
        ),
    ] = _PORT,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to put the sample, and leave it; default: a temporary one."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the checks instead of listening on.")] = False,
) -> None:
    """Compile a sample catalog, start a sidecar and ask it checks of every type, aloud.

    The sidecar then listens on until Ctrl-C. Without a terminal, the demo ends after the checks.
    """
    from tiergate.cli.sample import copy_sample
    from tiergate.cli.sidecar_process import claim_ports, started
    from tiergate.cli.terminal import say

    api, probes = claim_ports(port)
    with _folder(folder) as place:
        sample = copy_sample(place)
        _compile(sample, place / "bundle")
        arguments = [
            *("--catalog", str(sample.catalog), "--subjects", str(sample.subjects), "--rules", str(sample.rules)),
            *("--port", str(api), "--probe-port", str(probes), "--probe-host", "127.0.0.1"),
            *("--log-format", "console"),
        ]
        say("\nStarting a sidecar:", "bold")
        say(f"{_command()} sidecar \\\n     {_options(sample)}")
        with started(arguments) as sidecar:
            sidecar.wait_until_ready(probes)
            _ask(f"http://127.0.0.1:{api}")
            if once or not sys.stdin.isatty():
                return
            _invite(sample, api, probes)
            sidecar.let_log()
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
    from tiergate.cli.terminal import say
    from tiergate.naming import item_policies_path

    say("A streaming service's plans, add-ons and features:", "bold")
    say(str(sample.catalog))
    bundle.write(publish.build([sample.catalog], sample.rules), output)
    compiled = bundle.Bundle.open(output)
    versions = sum(len(item.versions) for item in compiled.index.items.values())
    say(f"\nCompiled: {len(compiled.index.features)} features, {versions} items. One of them in Cedar:", "bold")
    version, policy = _SHOWN_POLICY
    path = item_policies_path(version)
    say(str(output / path))
    say(next(text for _, text in split_policies(compiled.text(path)) if f'@id("{policy}")' in text))


def _ask(url: str) -> None:
    from tiergate.cli.story import STORY, curl
    from tiergate.cli.terminal import say, say_table
    from tiergate.cli.wording import lines, verdict
    from tiergate.client import Sidecar, read_answer, read_json

    with Sidecar(url, timeout=_TIMEOUT) as sidecar:
        for step in STORY:
            answer = read_answer(read_json(sidecar.ask(step.check)))
            say("\n" + textwrap.fill(step.question, _WIDTH), "bold")
            say(curl(url, step.check), "dim")
            say(verdict(answer), "green" if answer.allowed else "red")
            say_table(lines(answer))


def _invite(sample: Sample, api: int, probes: int) -> None:
    from tiergate.cli.story import STORY, curl
    from tiergate.cli.terminal import say

    url = f"http://127.0.0.1:{api}"
    asked = "" if api == _PORT else f" --url {url}"
    say("\nThe sidecar listens on. Try, in another terminal:", "bold")
    say(curl(url, STORY[2].check))
    say(f"curl -s '{url}/v1/entitlements?subject=ada'")
    say(f"curl -s http://127.0.0.1:{probes}/status")
    say(f"{_command()} check ada movies --used 69{asked}")
    say(f"{_command()} explain ada movies --used 69 \\\n     {_options(sample)}")
    say("\nOr change the files: the sidecar follows them. Give Gold fewer movies, 30, and ask again.", "bold")
    say(str(sample.catalog))
    say(str(sample.subjects))
    say("\nCtrl-C ends it.", "bold")


def _options(sample: Sample) -> str:
    return f"--catalog {sample.catalog} \\\n     --subjects {sample.subjects} \\\n     --rules {sample.rules}"


def _command() -> str:
    """How this command was called: as it is found on the path, else as it stands."""
    called = Path(sys.argv[0])
    if called.name != "tiergate":
        return f"{sys.executable} -m tiergate"
    if shutil.which("tiergate") == str(called.absolute()):
        return "tiergate"
    return str(called)
