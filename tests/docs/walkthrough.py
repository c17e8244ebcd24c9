"""Walks through a page as a reader does: writes its files, starts its processes, types its commands, compares.

- A block that begins with ```` ```yaml catalog.yaml ```` is a file.
- ```` ```sh sidecar ````, ```` ```sh control-plane ```` and ```` ```sh up ```` are what the reader leaves running; here
  they listen on ports of their own, which stand for those of the page. Starting something on ports that are taken ends
  what took them, and all that was started after it.
- ```` ```console ```` holds commands after `$ ` and what they write. `…` stands for anything; alone on its line for any
  number of lines. `export NAME=…` holds for the commands that follow.
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
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.docs.pages import ROOT
from tiergate.errors import ListenError
from tiergate.process.server_process import find_port, find_ports, start_server_for_command

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_BLOCK = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_EXPORT = re.compile(r"export (?P<name>\w+)=")
_ASKS = re.compile(r"^tiergate check |/v1/checks? |/status")
_PATIENCE = 20.0
_SIDECAR, _PROBES, _CONTROL, _OTHER_CONTROL = "8437", "8438", "8440", "8450"
_LISTENS: Final = {
    "sidecar": {"--port": _SIDECAR, "--probe-port": _PROBES},
    "control-plane": {"--port": _CONTROL},
    "up": {"--port": _SIDECAR, "--control-port": _CONTROL},
}
"""The options by which a command is told its ports, with what they are where the page does not say."""

_AUTHOR: Final = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "A reader"), ("EMAIL", "reader@example.com"))
}
"""Who the reader is, which Git was told before."""

_SHIM = """\
#!/bin/sh
case "$1 $*" in
  "check "*--catalog* | "check "*--url*) ;;
  "check "*|"usage "*) set -- "$@" --url http://127.0.0.1:{port} ;;
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
    walk = _Walk(folder)
    with walk.running:
        for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
            language, _, name = block["info"].partition(" ")
            body = walk.here(block["body"])
            if language == "sh" and name in _LISTENS:
                walk.start(name, shlex.split(body.replace("\\\n", " "))[2:])
            elif language == "console":
                for typed in _typed(body):
                    if typed.command.split()[0] not in passed_over:
                        walk.type(typed)
            elif name:
                (folder / name).write_text(body, encoding="utf-8")
                walk.changed = True


class _Walk:
    """A reader on the way: their shell, and what they have left running."""

    def __init__(self, folder: Path) -> None:
        self.changed = False
        """Whether a file has changed, which a sidecar may not have followed yet."""
        self._publishes = False
        self.running = ExitStack()
        self._in_use: list[tuple[set[str], ExitStack]] = []
        self._ports = _free_ports()
        commands = folder / ".bin"
        commands.mkdir()
        shim = commands / "tiergate"
        shim.write_text(_SHIM.format(port=self._ports[_SIDECAR], python=sys.executable), encoding="utf-8")
        shim.chmod(0o755)
        (folder / "examples").symlink_to(ROOT / "examples")
        path = f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**os.environ, **_AUTHOR, "PATH": path, "COLUMNS": "200"}

    def here(self, text: str) -> str:
        """A text of the page with the ports that stand for its own."""
        return re.sub(r"\b84\d\d\b", lambda found: str(self._ports.get(found[0], found[0])), text)

    def start(self, command: str, words: list[str]) -> None:
        """Start what the reader leaves running, and wait until it is ready."""
        options = {option: str(self._ports[port]) for option, port in _LISTENS[command].items()}
        options |= {option: words[words.index(option) + 1] for option in options if option in words}
        taken = set(options.values())
        if command == "up":
            taken.add(str(self._ports[_PROBES]))
        while any(taken & ports for ports, _ in self._in_use):
            self._in_use.pop()[1].close()
        process = self.running.enter_context(ExitStack())
        self._in_use.append((taken, process))
        given = [word for option, port in options.items() if option not in words for word in (option, port)]
        ready = self._ports[_PROBES]
        if command == "control-plane":
            ready = int(options["--port"])
        elif "--no-sample" in words:  # nothing is published that the sidecar could be ready with
            ready = self._ports[_CONTROL]
        process.enter_context(start_server_for_command([*words, *given], command)).wait_until_ready(ready)
        if command == "sidecar":
            self.changed = False
        else:
            self._publishes = True
            self._environment["TIERGATE_CONTROL_PLANE"] = f"http://127.0.0.1:{self._ports[_CONTROL]}"

    def type(self, typed: Typed) -> None:
        """Type a command, and compare; a question to a sidecar that may yet have to follow, again until it has."""
        if (export := _EXPORT.match(typed.command)) is not None:
            script = f'{typed.command}\nprintf %s "${export["name"]}"'
            self._environment[export["name"]] = self._run(script)
            return
        patiently = self.changed or (self._publishes and _ASKS.search(typed.command))
        deadline = time.monotonic() + (_PATIENCE if patiently else 0)
        while True:
            written = self._run(typed.command)
            if _pattern(typed.expected).fullmatch(written.rstrip("\n") + "\n" if written else ""):
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"$ {typed.command}\n{written}\nis not what the page says:\n{typed.expected}")

    def _run(self, command: str) -> str:
        return subprocess.run(
            command,
            shell=True,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        ).stdout


def _free_ports() -> dict[str, int]:
    """Ports that are free, by those that a page names; `up` takes two that follow each other."""
    while True:
        try:
            api, probes = find_ports(find_port(0))
        except ListenError:
            continue
        ports = {_SIDECAR: api, _PROBES: probes, _CONTROL: find_port(0), _OTHER_CONTROL: find_port(0)}
        if len(set(ports.values())) == len(ports):
            return ports


def _typed(body: str) -> Iterator[Typed]:
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, _, expected = re.sub(r"\\\n", "", part).partition("\n")
        yield Typed(command, expected)


def _pattern(expected: str) -> re.Pattern[str]:
    parts = [
        "(?:.*\n)*" if line == "…\n" else ".*".join(map(re.escape, line.split("…")))
        for line in expected.splitlines(keepends=True)
    ]
    return re.compile("".join(parts))
