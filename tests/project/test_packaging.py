"""What is packaged for machines without Kubernetes: units for systemd, and a file for Compose, both run for real."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
import yaml

from tests.docs.pages import ROOT
from tests.system.processes import PATIENCE
from tiergate.control.settings import SETTINGS as CONTROL_SETTINGS
from tiergate.process.server_process import find_port
from tiergate.sidecar.settings import SETTINGS as SIDECAR_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

UNITS: Final = ROOT / "packaging" / "systemd"
COMPOSE: Final = ROOT / "packaging" / "compose.yaml"
PAGE: Final = ROOT / "docs" / "operations" / "without-kubernetes.md"
SAMPLE: Final = ROOT / "examples" / "streaming" / "catalog.yaml"
SERVICES: Final = sorted(UNITS.glob("*.service"))
NEEDS_SYSTEMD: Final = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no `systemd-analyze`")

_MOST_EXPOSED: Final = 2.0
_REFUSE_EXEC_GAIN: Final = """
import ctypes, os, sys
prctl = ctypes.CDLL(None, use_errno=True).prctl
sys.exit("not on this kernel") if prctl(65, 1, 0, 0, 0) else os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Has the kernel refuse memory that is both written and executed, as `MemoryDenyWriteExecute` does."""


def unit(path: Path) -> dict[str, list[str]]:
    """What a unit says, by key."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@NEEDS_SYSTEMD
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing in them; the programs, which are not installed here, aside."""
    for path in (*SERVICES, *UNITS.glob("*.timer")):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text, flags=re.MULTILINE)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in ran.stderr.splitlines() if "tiergate" in line]
    assert (ran.returncode, said) == (0, [])


@NEEDS_SYSTEMD
@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_units_are_confined(path: Path) -> None:
    """By systemd's own measure, from 0 (nothing is exposed) to 10."""
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert found is not None, told
    assert float(found[1]) <= _MOST_EXPOSED


@NEEDS_SYSTEMD
def test_the_users_of_the_units_are_made() -> None:
    """Each user and group of a unit is in the file for systemd-sysusers."""
    words = [line.split() for line in (UNITS / "tiergate.sysusers").read_text(encoding="utf-8").splitlines()]
    made = {parts[1] for parts in words if parts and parts[0] in {"u", "g"}}
    used = {
        value
        for path in SERVICES
        for key in ("User", "Group", "SupplementaryGroups")
        for value in unit(path).get(key, [])
    }
    assert used == made


def block(name: str) -> str:
    """The commands of the page that have a name."""
    (found,) = re.findall(rf"^```sh {name}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


class Machine:
    """A folder that stands for `/`, and the ports that stand for those of the page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {port: str(find_port(0)) for port in ("8437", "8438", "8440")}
        for name in ("etc", "var/lib", "var/backups", "run"):
            (folder / name / "tiergate").mkdir(parents=True)
        (folder / "var" / "lib" / "tiergate-sidecar").mkdir()
        for file in UNITS.glob("*.toml"):
            text = self.here(file.read_text(encoding="utf-8"))
            text = re.sub(r"^uds-group = .*$", f"uds-group = {str(os.getgid())!r}", text, flags=re.MULTILINE)
            (folder / "etc" / "tiergate" / file.name).write_text(text, encoding="utf-8")

    def here(self, text: str) -> str:
        """A text with this machine's folders, ports and program."""
        text = text.replace("/opt/tiergate/bin/tiergate", f"{sys.executable} -m tiergate")
        text = re.sub(
            r"(?<![\w.])/((?:etc/|var/lib/|var/backups/|run/)(?:tiergate|secrets))", rf"{self.folder}/\1", text
        )
        return re.sub(r"\b84(?:37|38|40)\b", lambda found: self.ports[found[0]], text)

    def type(self, name: str) -> str:
        """Type a block of the page, and return what it writes."""
        ran = subprocess.run(
            ["sh", "-euc", self.here(block(name))], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    @contextmanager
    def started(self, words: list[str], environment: dict[str, str], ready: str) -> Iterator[None]:
        """Run a command, with no memory that is both written and executed, from when it is ready; it ends in order."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIERGATE_")}
        log = self.folder / "log"
        with log.open("wb") as written:
            process = subprocess.Popen(
                [sys.executable, "-c", _REFUSE_EXEC_GAIN, "-m", "tiergate", *words],
                env={**inherited, **environment},
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
            )
        try:
            deadline = time.monotonic() + PATIENCE
            while not self._answers(ready):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield
            process.terminate()
            assert process.wait(PATIENCE) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()

    def listens(self) -> dict[str, str]:
        """The variables that say the ports."""
        names = {"TIERGATE_PORT": "8437", "TIERGATE_PROBE_PORT": "8438", "TIERGATE_CP_PORT": "8440"}
        return {name: self.ports[port] for name, port in names.items()}

    def unit(self, service: str, ready: str) -> AbstractContextManager[None]:
        """Run what a unit starts."""
        (start,) = unit(UNITS / f"{service}.service")["ExecStart"]
        return self.started(shlex.split(self.here(start))[3:], self.listens(), self.ports[ready])

    def composed(self, service: str, ready: str) -> AbstractContextManager[None]:
        """Run what a service of the file for Compose is, as a process, with its volumes and secrets in the folder."""
        found = composition()["services"][service]
        environment = {name: self.here(value) for name, value in found["environment"].items()}
        environment |= self.listens()
        for volume in found["volumes"]:  # of its own for each service, though they have one path inside
            name, _, path = volume.partition(":")
            (self.folder / "volumes" / name).mkdir(parents=True, exist_ok=True)
            inside = self.here(path)
            environment = {
                key: value.replace(inside, str(self.folder / "volumes" / name)) for key, value in environment.items()
            }
        return self.started(found["command"], environment, self.ports[ready])

    @staticmethod
    def _answers(port: str) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def publish(self, key: Path) -> None:
        """Publish the sample."""
        files = [{"name": SAMPLE.name, "text": SAMPLE.read_text(encoding="utf-8")}]
        answer = httpx.post(
            f"http://127.0.0.1:{self.ports['8440']}/v1/apply",
            json={"catalog": files},
            headers={"authorization": f"Bearer {key.read_text().strip()}"},
            timeout=PATIENCE,
        )
        assert answer.status_code == 201, answer.text


def composition() -> dict[str, Any]:
    """The file for Compose."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine with short paths, as those of sockets must be."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        yield Machine(Path(folder))


@pytest.mark.slow
def test_the_page_about_systemd_can_be_followed(machine: Machine) -> None:
    """Key, control plane, first admin, sidecar's key, sidecar, a check over its socket, by its units and commands."""
    machine.type("signing-key")
    with machine.unit("tiergate-control-plane", "8440"):
        machine.type("first-admin")
        machine.publish(machine.folder / "admin.key")
        machine.type("sidecar-key")
        with machine.unit("tiergate-sidecar", "8438"):
            assert json.loads(machine.type("ask"))["reason"] == "unknown_subject"
            assert (machine.folder / "run/tiergate/sidecar.sock").stat().st_mode & 0o777 == 0o660
        copy = backed_up(machine)
        assert len(list(copy.parent.iterdir())) == 1
    secrets = [machine.folder / "admin.key", *(machine.folder / "etc/tiergate").glob("s*.[jp]*")]
    assert len(secrets) == 3
    assert all(secret.stat().st_mode & 0o077 == 0 for secret in secrets)


def backed_up(machine: Machine) -> Path:
    """The copy that the nightly backup makes, as its unit runs it; copies that are too old go."""
    folder = machine.folder / "var" / "backups" / "tiergate"
    old = folder / "store-20200101T000000Z.sqlite"
    old.touch()
    os.utime(old, (0, 0))
    (start,) = unit(UNITS / "tiergate-backup.service")["ExecStart"]
    _, *arguments = machine.here(start).split()
    ran = subprocess.run(
        [str(UNITS / "tiergate-backup"), *arguments],
        env={**os.environ, "TIERGATE_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    copy = Path(ran.stdout.strip())
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM publication").fetchone() == (1,)
    assert copy.stat().st_mode & 0o077 == 0
    return copy


def test_the_backup_of_a_store_that_is_not_there_fails(tmp_path: Path) -> None:
    """It does not make an empty one, to be found when it is needed."""
    ran = subprocess.run(
        [str(UNITS / "tiergate-backup"), str(tmp_path / "store.sqlite"), str(tmp_path)],
        env={**os.environ, "TIERGATE_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_what_compose_starts_works_together(machine: Machine) -> None:
    """Both services with the environment of the file, and the page's commands: up to a check over the socket."""
    (machine.folder / "run" / "secrets").mkdir()
    secrets = machine.folder / "run" / "secrets"
    database = machine.folder / "volumes" / "store" / "store.sqlite"
    run(machine, "keys", "signing-key", "generate", "--out", str(secrets / "signing-key.pem"))
    url = f"http://127.0.0.1:{machine.ports['8440']}"
    with machine.composed("control-plane", "8440"):
        admin = run(machine, "keys", "bootstrap-admin", "--database", f"sqlite:///{database}")
        (machine.folder / "admin.key").write_text(admin, encoding="utf-8")
        machine.publish(machine.folder / "admin.key")
        made = run(
            machine,
            *("keys", "create", "the sidecar here", "--role", "sidecar", "--control-plane", url),
            *("--key-file", "/dev/stdin"),
            given=admin,
        )
        (secrets / "sidecar.json").write_text(made, encoding="utf-8")
        with machine.composed("sidecar", "8438"):
            path = machine.folder / "volumes" / "socket" / "sidecar.sock"
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as client:
                answer = client.post("/v1/check", json={"subject": "ada", "feature": "movies"})
            assert answer.json()["reason"] == "unknown_subject"
            assert path.stat().st_mode & 0o777 == 0o666


def run(machine: Machine, *words: str, given: str = "") -> str:
    """What a command writes to standard output."""
    return subprocess.run(
        [sys.executable, "-m", "tiergate", *words],
        cwd=machine.folder,
        input=given,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_compose_names_settings_and_what_it_declares() -> None:
    """Each variable is a setting, each volume, network and secret is declared, and nothing runs unconfined."""
    found = composition()
    settings = {"control-plane": CONTROL_SETTINGS, "sidecar": SIDECAR_SETTINGS}
    for name, service in found["services"].items():
        assert set(service["environment"]) <= {setting.variable for setting in settings[name]}
        assert service["command"] == [name]
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(found["volumes"])
        assert set(service["networks"]) <= set(found["networks"])
        assert set(service["secrets"]) <= set(found["secrets"])
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert re.fullmatch(r"\$\{TIERGATE_\w+_IMAGE:-tiergate-[a-z-]+:\d+\.\d+\.\d+\}", service["image"])
