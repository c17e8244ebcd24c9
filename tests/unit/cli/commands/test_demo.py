from __future__ import annotations

import json
import shlex
import socket
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.conftest import SAMPLE
from tiergate.catalog import TotalBounds, load_catalog, load_subjects
from tiergate.cli.demo_script import STORY, curl
from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.sample_catalog import SAMPLE_FILES, copy_sample
from tiergate.errors import ListenError
from tiergate.model import FeatureType
from tiergate.process.server_process import find_ports

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli


def test_the_story_asks_about_every_type_of_feature() -> None:
    """Each type is asked about at least once, of subjects and features that the sample has."""
    loaded = load_catalog([SAMPLE / "catalog.yaml"])
    index = loaded.catalog.index()
    subjects = load_subjects([SAMPLE / "subjects.yaml"], index, TotalBounds.of(loaded.catalog))
    assert {index.features[step.check.feature].type for step in STORY} == set(FeatureType)
    assert {step.check.subject.id for step in STORY} <= set(subjects)


def test_a_question_is_shown_as_a_command_that_asks_it() -> None:
    """The command of a step is one that a shell takes apart into curl, its address and the JSON of the check."""
    words = shlex.split(curl("http://127.0.0.1:8437", STORY[2].check).replace("\\\n", ""))
    assert words[:3] == ["curl", "-s", "http://127.0.0.1:8437/v1/check"]
    assert json.loads(words[-1]) == {"subject": "ada", "feature": "movies", "amount": 1, "used": 69}


def test_the_sample_is_copied_whole(tmp_path: Path) -> None:
    """Every file of the sample's folder is in the copy, and no other."""
    copy_sample(tmp_path / "copy")
    copied = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    original = {str(path.relative_to(SAMPLE)) for path in SAMPLE.rglob("*") if path.is_file()}
    assert copied == original == set(SAMPLE_FILES)


def test_files_that_are_there_are_left_as_they_are(tmp_path: Path) -> None:
    """A second demo in a folder goes on with what was changed there."""
    copy_sample(tmp_path)
    (tmp_path / "catalog.yaml").write_text("mine", encoding="utf-8")
    copy_sample(tmp_path)
    assert (tmp_path / "catalog.yaml").read_text(encoding="utf-8") == "mine"


def test_the_sample_that_ships_in_the_package_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package has the sample in itself."""
    shipped = tmp_path / "package" / "examples" / "streaming"
    for name in SAMPLE_FILES:
        (shipped / name).parent.mkdir(parents=True, exist_ok=True)
        (shipped / name).write_text(f"shipped {name}", encoding="utf-8")
    monkeypatch.setattr("tiergate.cli.sample_catalog.files", lambda _: tmp_path / "package")
    assert copy_sample(tmp_path / "copy").catalog.read_text(encoding="utf-8") == "shipped catalog.yaml"


def test_a_port_in_use_is_said_with_the_way_out(cli: Cli) -> None:
    """Where another sidecar listens, the demo ends before it begins and names `--port`."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        ran = cli("demo", "--once", "--port", str(port))
    assert (ran.code, ran.out) == (ExitCode.OPERATOR, "")
    assert ran.err.startswith(
        f"error: port {port} is in use, perhaps by another sidecar: select another one with `--port`"
    )


def test_the_port_of_the_probes_must_be_free_too() -> None:
    """Both ports are looked at, and the one in use is named."""
    with ExitStack() as stack:
        while True:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            with suppress(OSError), socket.socket() as before:
                before.bind(("127.0.0.1", port - 1))
                break
        with pytest.raises(ListenError, match=f"port {port} is in use"):
            find_ports(port - 1)


def test_any_free_ports_will_do_for_zero() -> None:
    """Port 0 finds two different ones."""
    api, probes = find_ports(0)
    assert 0 < api != probes > 0
