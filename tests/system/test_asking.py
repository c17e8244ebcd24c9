from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tiergate.client import Answer, Sidecar
from tiergate.errors import CheckError, RequestError, UnknownFeatureError
from tiergate.model import Check, Subject
from tiergate.process.server_process import find_ports, start_server_for_command

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = Path(__file__).parents[2] / "examples" / "streaming"
FILES = [
    *("--catalog", str(SAMPLE / "catalog.yaml")),
    *("--subjects", str(SAMPLE / "subjects.yaml")),
    *("--rules", str(SAMPLE / "rules")),
]


class Running(NamedTuple):
    """A sidecar that serves the sample, and where it keeps what it needs."""

    url: str
    socket: Path
    token: Path
    data: Path
    log: Path


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start a real sidecar with a token, on TCP and a Unix socket."""
    folder = tmp_path_factory.mktemp("s")
    running = Running("", folder / "s", folder / "token", folder / "data", folder / "log")
    running.token.write_text("a-token-of-some-length-for-tests\n", encoding="utf-8")
    running.token.chmod(0o600)
    port, probes = find_ports(0)
    listens = ["--port", str(port), "--probe-port", str(probes), "--uds", str(running.socket)]
    listens += ["--decision-log", str(running.log)]
    with start_server_for_command(
        [*FILES, *listens, "--token-file", str(running.token), "--data", str(running.data)]
    ) as process:
        process.wait_until_ready(probes)
        yield running._replace(url=f"http://127.0.0.1:{port}")


@pytest.fixture
def asked(sidecar: Running) -> Iterator[Sidecar]:
    """Give a client of that sidecar."""
    with Sidecar(sidecar.url, token=sidecar.token.read_text(encoding="utf-8").strip(), timeout=10) as client:
        yield client


def tiergate(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    command = [sys.executable, "-m", "tiergate", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_type_is_answered_with_exact_numbers(asked: Sidecar) -> None:
    """What the catalog gives comes back as values of Python."""
    assert asked.check("ada", "analytics").entitlement.value is True
    assert asked.check("ada", "movies", used=69, amount=1).entitlement.remaining == 1
    assert asked.check("ada", "downloads", amount=Decimal("2.5")).entitlement.value == Decimal("12.5")
    assert asked.check("initech", "api-requests", value=801).reason == "out_of_range"
    assert asked.check("initech", "support", level="phone").sources[0].override == "support-1"


def test_mistakes_come_back_as_the_errors_that_they_are(asked: Sidecar) -> None:
    """The sidecar's problem documents are read as errors with their fields."""
    with pytest.raises(UnknownFeatureError, match="did you mean `movies`"):
        asked.check("ada", "moovies")
    with pytest.raises(CheckError) as caught:
        asked.check("ada", "movies", amount=0)
    assert (caught.value.field, caught.value.detail) == ("/amount", "must be positive")


def test_many_checks_are_answered_at_once(asked: Sidecar) -> None:
    """A batch has an answer or an error in the place of each check."""
    checks = [Check(Subject("ada"), "movies"), Check(Subject("ada"), "moovies"), Check(Subject("ben"), "analytics")]
    first, second, third = asked.checks(checks)
    assert isinstance(first, Answer)
    assert first.allowed
    assert isinstance(second, UnknownFeatureError)
    assert second.suggestion == "movies"
    assert isinstance(third, Answer)
    assert not third.allowed


def test_everything_that_a_subject_holds_is_listed(asked: Sidecar) -> None:
    """Each feature of the catalog has its entry, in the order of their ids."""
    held = {answer.feature: answer.entitlement.value for answer in asked.entitlements("ada")}
    assert list(held) == sorted(held)
    assert held["movies"] == 70
    assert held["support"] == "phone"
    assert held["downloads"] == Decimal("12.5")


def test_threads_share_a_client(asked: Sidecar) -> None:
    """Many threads ask through one client, and each gets the answer to its own question."""

    def ask(used: int) -> bool:
        return all(asked.check("ada", "movies", used=used).entitlement.used == used for _ in range(20))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(8)))


def test_without_the_token_nothing_is_answered(sidecar: Running) -> None:
    """A sidecar that wants a token refuses whoever has none, and that is no decision."""
    with Sidecar(sidecar.url, timeout=10) as client, pytest.raises(RequestError) as caught:
        client.allows("ada", "movies", otherwise=True)
    assert caught.value.status == 401


@pytest.mark.parametrize(("question", "code"), [(["ada", "movies"], 0), (["ben", "analytics"], 1)])
def test_the_command_line_asks_a_sidecar(sidecar: Running, question: list[str], code: int) -> None:
    """`tiergate check` answers with its exit code, over TCP and over the Unix socket alike."""
    over_tcp = tiergate("check", *question, "--url", sidecar.url, "--token-file", sidecar.token)
    over_unix = tiergate("check", *question, "--url", f"unix:{sidecar.socket}", "--token-file", sidecar.token)
    assert (over_tcp.returncode, over_tcp.stdout) == (code, over_unix.stdout)
    assert (over_unix.returncode, over_unix.stderr) == (code, "")


def test_a_sidecar_and_the_files_say_the_same(sidecar: Running) -> None:
    """Asked or decided without it, a question has one answer but for the number of the publication.

    And only the sidecar counts, so that it alone knows when the usage resets.
    """
    question = ("check", "ada", "movies", "--used", "70", "--json")
    online = json.loads(tiergate(*question, "--url", sidecar.url, "--token-file", sidecar.token).stdout)
    offline = json.loads(tiergate(*question, *FILES).stdout)
    assert online.pop("publication") == 1
    assert offline.pop("publication") == 0
    assert online.pop("resets_at") == online.pop("valid_until")
    assert online == offline


def test_a_sidecars_data_folder_explains_while_it_runs(sidecar: Running) -> None:
    """`tiergate explain --data` reads what is in force without disturbing the sidecar."""
    ran = tiergate("explain", "ada", "movies", "--used", "70", "--data", sidecar.data)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("no: the limit is reached (limit_reached)\n")


def test_a_sidecars_data_folder_replays_what_its_log_says(sidecar: Running, asked: Sidecar) -> None:
    """Byte by byte, while it runs; sources, numbers and the number of the publication included."""
    question = Check(Subject("initech", user="eve"), "api-requests", value=Decimal("801.0"))
    answer = asked.ask(question)
    deadline = time.monotonic() + 10
    while b'"initech","user":"eve"' not in (written := sidecar.log.read_bytes()).replace(b" ", b""):
        assert time.monotonic() < deadline, written
        time.sleep(0.01)
    line = next(it for it in reversed(written.splitlines()) if answer in it)
    ran = tiergate("replay", json.loads(line)["id"], "--log", sidecar.log, "--data", sidecar.data, "--today")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[0].endswith(": same decision, byte for byte")
    assert "today: same decision" in ran.stdout.splitlines()


def test_a_missing_token_file_is_named(sidecar: Running, tmp_path: Path) -> None:
    """A token that cannot be read is an error of the machine, with its file."""
    ran = tiergate("check", "ada", "movies", "--url", sidecar.url, "--token-file", tmp_path / "none")
    assert (ran.returncode, ran.stdout) == (4, "")
    assert f"`{tmp_path}/none`: no such file or directory" in ran.stderr
