"""SIGTERM and SIGINT end a process at any time of its life: as process 1, during its start, while it waits."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.admissions import PUBLIC_KEY
from tests.certificates import certify
from tests.docs.pages import ROOT
from tests.system.processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

STREAMING: Final = ROOT / "examples" / "streaming"
BLOCKING: Final = ("/usr/bin/env", "--block-signal=TERM,INT")
"""What the images' entry point begins with."""

FIRST: Final = next(
    (
        way
        for way in (
            ("unshare", "--pid", "--fork", "--kill-child"),
            ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"),
        )
        if subprocess.run([*way, "true"], capture_output=True, check=False).returncode == 0
    ),
    (),
)
"""How a process becomes the first of a namespace of its own. Where nothing may do that, it is an ordinary one."""

DELAYS: Final = (0.0, 0.3)
MORE_DELAYS: Final = (0.05, 0.15, 0.6, 1.0, 1.6, 3.0)
PROMISED: Final = 12.0
"""Seconds in which a process must end, on a machine that has much else to do."""

SERVING: Final = ("sidecar", "following", "control-plane", "waiting", "injector", "up")
FINISHING: Final = ("migrate", "cluster", "demo")


@contextmanager
def silent() -> Iterator[int]:
    """A port at which connections are taken and nothing is said."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield int(server.getsockname()[1])


def arguments(command: str, folder: Path, port: int) -> list[str]:
    """The arguments of a command that goes on for long; `port`: of whom it waits for."""
    ports = ["--port", "0", "--probe-port", "0", "--probe-host", "127.0.0.1"]
    if command == "sidecar":
        files = ["--catalog", f"{STREAMING}/catalog.yaml", "--subjects", f"{STREAMING}/subjects.yaml"]
        return ["sidecar", *ports, *files, "--data", f"{folder}/data"]
    if command == "following":
        (folder / "key").write_text("tg_" + "a" * 12 + "_" + "b" * 43)
        (folder / "public-key.pem").write_text(PUBLIC_KEY)
        found = ["--control-plane", f"http://127.0.0.1:{port}", "--key-file", f"{folder}/key", "--store-id", "st-1"]
        return ["sidecar", *ports, *found, "--public-key", f"{folder}/public-key.pem", "--data", f"{folder}/data"]
    if command == "control-plane":
        return ["control-plane", "--database", f"sqlite:///{folder}/store.sqlite", "--port", "0"]
    if command == "waiting":
        return ["control-plane", "--database", f"postgresql://tiergate@127.0.0.1:{port}/tiergate", "--port", "0"]
    if command == "injector":
        (folder / "sidecar.yaml").write_text("{image: 'tiergate-sidecar:1', controlPlane: 'https://a.svc:8440'}")
        (folder / "public-key.pem").write_text(PUBLIC_KEY)
        certificate, key = certify(folder)
        files = ["--sidecar-file", f"{folder}/sidecar.yaml", "--public-key", f"{folder}/public-key.pem"]
        return [
            "injector",
            "--host",
            "127.0.0.1",
            *ports,
            *files,
            "--tls-cert",
            str(certificate),
            "--tls-key",
            str(key),
        ]
    if command == "up":
        return ["up", "--data", f"{folder}/up", "--control-port", "0", "--port", "0"]
    if command == "migrate":
        return ["migrate", "--database", f"postgresql://tiergate@127.0.0.1:{port}/tiergate"]
    if command == "cluster":
        certificate, _ = certify(folder)
        for name, text in (("token", "it"), ("namespace", "here"), ("ca.crt", certificate.read_text())):
            (folder / name).write_text(text)
        return ["cluster", "create-secrets", "--signing-key", "it", "--service-account", str(folder)]
    return ["demo"]


class Told:
    """One process, told to end after a delay."""

    def __init__(self, command: str, folder: Path, port: int, *, first: bool) -> None:
        way = FIRST if first else ()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIERGATE_")}
        self._way = way
        self.process = subprocess.Popen(
            [*way, *BLOCKING, sys.executable, "-m", "tiergate", *arguments(command, folder, port)],
            env={**inherited, "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def number(self) -> int:
        """The process's number, as it is seen here, once it is our command."""
        while True:
            found = self.process.pid
            if self._way:
                children = Path(f"/proc/{found}/task/{found}/children").read_text().split()
                found = int(children[0]) if children else 0
            with suppress(FileNotFoundError, ProcessLookupError):
                if found and b"tiergate" in Path(f"/proc/{found}/cmdline").read_bytes():
                    status = Path(f"/proc/{found}/status").read_text()
                    if not status.startswith("Name:\tenv\n") and not status.startswith("Name:\tunshare\n"):
                        return found
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.001)

    def end(self, delay: float, number: signal.Signals) -> tuple[int | None, float, str]:
        """Tell it after a delay; give the exit code, none where it goes on, the seconds, and what it said."""
        told = self.number()
        time.sleep(delay)
        begun = time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(told, number)
        try:
            said = self.process.communicate(timeout=PROMISED)[1]
        except subprocess.TimeoutExpired:
            os.kill(told, signal.SIGKILL)
            return None, time.monotonic() - begun, self.process.communicate()[1]
        return self.process.returncode, time.monotonic() - begun, said


def ends(
    command: str, folder: Path, number: signal.Signals, delays: tuple[float, ...] = DELAYS, *, first: bool
) -> dict[float, tuple[int | None, str]]:
    """Tell one process after each delay, several at once; give the exit codes and what they said."""

    def one(delay: float) -> tuple[int | None, str]:
        own = folder / f"{number.name}-{delay}"
        own.mkdir()
        told = Told(command, own, port, first=first)
        code, _, said = told.end(delay, number)
        return code, said

    with silent() as port, ThreadPoolExecutor(3) as pool:
        return dict(zip(delays, pool.map(one, delays), strict=True))


def _alone(command: str) -> object:
    """A command; one that starts others takes the whole machine where several of it are started at once."""
    return pytest.param(command, marks=pytest.mark.serial) if command in {"up", "demo"} else command


@pytest.mark.parametrize("command", [*map(_alone, SERVING), *map(_alone, FINISHING)])
def test_sigterm_ends_process_1_whenever_it_comes(command: str, tmp_path: Path) -> None:
    """With 0 where it would have served, else with 143: what it had to do is not done."""
    found = ends(command, tmp_path, signal.SIGTERM, first=True)
    wanted = 0 if command in SERVING else 143
    assert {delay: it for delay, it in found.items() if it[0] != wanted} == {}
    assert not [said for _, said in found.values() if "Traceback" in said]


@pytest.mark.slow
@pytest.mark.parametrize("command", [*SERVING, *FINISHING])
def test_sigterm_ends_process_1_at_more_instants(command: str, tmp_path: Path) -> None:
    """The start of each process has many steps, and a signal may come between any two of them."""
    found = ends(command, tmp_path, signal.SIGTERM, MORE_DELAYS, first=True)
    expected = 0 if command in SERVING else 143
    assert {delay: result for delay, result in found.items() if result[0] != expected} == {}


@pytest.mark.parametrize("command", ["sidecar", "control-plane", "migrate"])
def test_sigint_is_as_good(command: str, tmp_path: Path) -> None:
    """With 0, or 130."""
    found = ends(command, tmp_path, signal.SIGINT, first=True)
    wanted = 0 if command in SERVING else 130
    assert {delay: it for delay, it in found.items() if it[0] != wanted} == {}


def _slow_unless(command: str, quick: Collection[str]) -> object:
    """A command, of which `make test` tests only some: all of them begin in the same function."""
    return command if command in quick else pytest.param(command, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "command", [_slow_unless(command, ("sidecar", "control-plane", "migrate")) for command in (*SERVING, *FINISHING)]
)
def test_the_signals_are_never_at_their_default(command: str, tmp_path: Path) -> None:
    """From the entry point on they are blocked or handled, so that they would not be lost on process 1 either."""
    bits = 1 << (signal.SIGTERM - 1) | 1 << (signal.SIGINT - 1)
    with silent() as port:
        told = Told(command, tmp_path, port, first=False)
        number = told.number()
        until = time.monotonic() + 2.0
        bare = 0
        while time.monotonic() < until and told.process.poll() is None:
            with suppress(FileNotFoundError, ProcessLookupError):
                status = Path(f"/proc/{number}/status").read_text()
                masks = dict(re.findall(r"^Sig(Blk|Cgt):\s*([0-9a-f]+)$", status, re.MULTILINE))
                if masks and "State:\tZ" not in status:
                    bare += bits & (int(masks["Blk"], 16) | int(masks["Cgt"], 16)) != bits
        with suppress(ProcessLookupError):  # one that had nothing to wait for
            os.kill(number, signal.SIGTERM)
        assert told.process.communicate(timeout=PATIENCE)
    assert bare == 0


def test_the_injector_ends_although_the_signal_comes_before_it_serves(tmp_path: Path) -> None:
    """Between its certificate and its first connection there is no webhook to end yet."""
    script = (
        "import os, signal\n"
        "from tiergate.cluster.injector.serving_certificate import MountedCertificate\n"
        "from tiergate.cli import main\n"
        "update = MountedCertificate.update\n"
        "def ended(self):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return update(self)\n"
        "MountedCertificate.update = ended\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, *arguments("injector", tmp_path, 0), "--shutdown-timeout", "60"]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("image", ["control-plane", "sidecar"])
def test_the_images_begin_so(image: str) -> None:
    """Their entry point blocks the signals until Python handles them."""
    text = (ROOT / "sidecar.Dockerfile").read_text(encoding="utf-8")
    stage = text.partition(f"FROM ${{BASE}} AS {image}\n")[2].partition("\nFROM ")[0]
    (entry,) = re.findall(r"^ENTRYPOINT (\[.+\])$", stage, re.MULTILINE)
    assert entry == '["/usr/bin/env", "--block-signal=TERM,INT", "/opt/tiergate/bin/tiergate"]'
