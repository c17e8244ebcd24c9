"""Walks through a page as a reader does: writes its files, starts its sidecar, types its commands, compares.

- A block that begins with ```` ```yaml catalog.yaml ```` is a file.
- ```` ```sh sidecar ```` is the sidecar that the reader leaves running; here it listens on ports of its own.
- ```` ```console ```` holds commands after `$ ` and what they write. `…` stands for anything; alone on its line for any
  number of lines.
- Other blocks are for readers alone. The sample is there as `examples`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.docs.pages import ROOT
from tiergate.cli.sidecar_process import claim_ports, started

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["walk_through"]

_BLOCK = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_PATIENCE = 20.0
_SHIM = """\
#!/bin/sh
case "$1 $*" in
  "check "*--catalog* | "check "*--url*) ;;
  "check "*) set -- "$@" --url http://127.0.0.1:{port} ;;
esac
exec {python} -m tiergate "$@"
"""


class Typed(NamedTuple):
    """A command, and what it writes."""

    command: str
    expected: str


def walk_through(page: Path, folder: Path, *, passed_over: Collection[str] = ()) -> None:
    """Do in an empty folder, which is the working directory, what the page says; fail where it turns out otherwise.

    Commands that begin with a program in `passed_over` are not typed.
    """
    port, probes = claim_ports(0)
    commands = folder / ".bin"
    commands.mkdir()
    shim = commands / "tiergate"
    shim.write_text(_SHIM.format(port=port, python=sys.executable), encoding="utf-8")
    shim.chmod(0o755)
    (folder / "examples").symlink_to(ROOT / "examples")
    python = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{commands}:{python}:{os.environ['PATH']}", "COLUMNS": "200"}
    with ExitStack() as running:
        changed = False
        for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
            language, _, name = block["info"].partition(" ")
            if language == "sh" and name == "sidecar":
                words = shlex.split(block["body"].replace("\\\n", " "))[2:]
                sidecar = running.enter_context(started([*words, "--port", str(port), "--probe-port", str(probes)]))
                sidecar.wait_until_ready(probes)
                changed = False
            elif language == "console":
                for typed in _typed(_here(block["body"], port, probes)):
                    if typed.command.split()[0] not in passed_over:
                        _compare(typed, environment, patiently=changed)
            elif name:
                (folder / name).write_text(_here(block["body"], port, probes), encoding="utf-8")
                changed = True


def _here(text: str, port: int, probes: int) -> str:
    return text.replace("127.0.0.1:8437", f"127.0.0.1:{port}").replace("127.0.0.1:8438", f"127.0.0.1:{probes}")


def _typed(body: str) -> Iterator[Typed]:
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, _, expected = re.sub(r"\\\n", "", part).partition("\n")
        yield Typed(command, expected)


def _compare(typed: Typed, environment: dict[str, str], *, patiently: bool) -> None:
    """Type a command; after a change of files, again until the running sidecar has followed it."""
    deadline = time.monotonic() + (_PATIENCE if patiently else 0)
    while True:
        written = subprocess.run(
            typed.command,
            shell=True,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        ).stdout
        if _pattern(typed.expected).fullmatch(written.rstrip("\n") + "\n" if written else ""):
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"$ {typed.command}\n{written}\nis not what the page says:\n{typed.expected}")


def _pattern(expected: str) -> re.Pattern[str]:
    parts = [
        "(?:.*\n)*" if line == "…\n" else ".*".join(map(re.escape, line.split("…")))
        for line in expected.splitlines(keepends=True)
    ]
    return re.compile("".join(parts))
