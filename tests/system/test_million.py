"""A million subjects: what they take of memory and of time at the start."""

from __future__ import annotations

import http.client
import json
import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.processes import Process, sidecar
from tests.system.test_reload import FEATURES, PLANS, catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBJECTS = 1_000_000
MOST_KIB = 300 * 1024
LONGEST_START = 3.0


def lines() -> Iterator[str]:
    """Customers who hold one to three plans each."""
    draw = random.Random(1)
    yield '{"apiVersion":"tiergate/v1"}\n'
    for n in range(SUBJECTS):
        yield f'{{"type":"customer","id":"c{n}"}}\n'
        held = ",".join(f'{{"item":"p{plan}"}}' for plan in draw.sample(range(PLANS), draw.randrange(1, 4)))
        yield f'{{"type":"subscription","id":"s{n}","customer":"c{n}","status":"active","items":[{held}]}}\n'


def kib(process: Process, what: str) -> int:
    """A figure of the memory of a process, in KiB."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{process.process.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def ask_much(process: Process) -> None:
    """Ask 200,000 different checks, so that everything that is remembered fills."""
    draw = random.Random(2)
    connection = http.client.HTTPConnection(*process.api)
    for _ in range(200):
        checks = [
            {"subject": f"c{draw.randrange(SUBJECTS)}", "feature": f"f{draw.randrange(FEATURES)}", "used": 1}
            for _ in range(1000)
        ]
        for _ in range(2):  # some things are remembered from the second time on
            connection.request(
                "POST", "/v1/checks", json.dumps({"checks": checks}), {"Content-Type": "application/json"}
            )
            assert len(json.loads(connection.getresponse().read())["results"]) == 1000
    connection.close()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the memory from")
def test_a_million_subjects_fit_and_start_quickly(tmp_path: Path) -> None:
    """At most 300 MB resident, after much was asked and a change was followed; ready from disk within 3 seconds."""
    (tmp_path / "catalog.yaml").write_text(catalog(1))
    with (tmp_path / "subjects.ndjson").open("w") as file:
        file.writelines(lines())
    flags: list[str | Path] = ["--catalog", tmp_path / "catalog.yaml", "--subjects", tmp_path / "subjects.ndjson"]
    flags += ["--data", tmp_path / "data"]
    with Process(*flags) as process:
        process.until(lambda status: status["ready"] and not status["load"]["loading"], patience=600)
        ask_much(process)
        (tmp_path / "new.yaml").write_text(catalog(2))
        (tmp_path / "new.yaml").rename(tmp_path / "catalog.yaml")
        process.until(lambda status: status["publication"] == 2, patience=600)
        ask_much(process)
        assert kib(process, "VmHWM") < MOST_KIB
        process.end()
    began = time.monotonic()
    with sidecar(*flags) as process:
        assert time.monotonic() - began < LONGEST_START
        assert process.status()["customers"] == SUBJECTS
