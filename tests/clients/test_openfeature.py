"""The official OpenFeature SDKs ask a live sidecar through their OFREP providers, unmodified.

The catalog has every type of feature. `.ci/openfeature` installs the SDKs and prints their folder, which the variable
`TIERGATE_OPENFEATURE` names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.clients.programs import run
from tests.serving import CATALOG, Service, customer

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent / "openfeature"
SDKS: Final = os.environ.get("TIERGATE_OPENFEATURE", "")
HAS_JAVA: Final = Path(SDKS, "classpath").exists()

pytestmark = pytest.mark.skipif(not SDKS, reason="`TIERGATE_OPENFEATURE` names no folder of OpenFeature's SDKs")

Json = dict[str, Any]
LARGEST: Final = 2**53 - 1
ACME: Final = {"targetingKey": "acme"}
CONSUMING: Final = {"targetingKey": "acme", "used": 12, "amount": 39}


def question(key: str, kind: str, default: object, context: Json) -> Json:
    """A question in the form of the programs."""
    return {"key": key, "type": kind, "default": default, "context": context}


QUESTIONS: Final[list[tuple[Json, object, str]]] = [
    (question("analytics", "boolean", False, ACME), True, "granted"),
    (question("analytics", "boolean", True, {"targetingKey": "bob"}), False, "not_entitled"),
    (question("movies", "integer", 0, ACME), 50, "granted"),
    (question("movies", "integer", 0, {"targetingKey": "subscription:sub-bob"}), 30, "granted"),
    (question("storage", "float", 0.5, ACME), 10.0, "granted"),
    (question("api-limit", "integer", 0, ACME), 800, "granted"),
    (question("support", "string", "x", ACME), "phone", "granted"),
    (question("support", "string", "x", {"targetingKey": "rich"}), "", "not_entitled"),
    (question("later", "integer", 7, ACME), 0, "feature_inactive"),
    (question("movies:allowed", "boolean", True, CONSUMING), False, "limit_reached"),
    (question("movies:allowed", "boolean", False, {**CONSUMING, "amount": 38, "user": "u1"}), True, "granted"),
    (question("api-limit:allowed", "boolean", True, {**ACME, "value": 801}), False, "out_of_range"),
    (question("support:allowed", "boolean", False, {**ACME, "level": "chat"}), True, "granted"),
]
"""Questions, values and our reasons."""

UNLIMITED: Final = question("movies", "integer", 0, {"targetingKey": "rich"})
UNKNOWN: Final = question("moves", "boolean", True, ACME)
NOBODY: Final = question("analytics", "boolean", True, {})


@pytest.fixture(scope="module")
def service() -> Service:
    """A sidecar that knows acme (gold), bob (silver) and rich (platinum, without limit)."""
    catalog = CATALOG.replace("items:", "  - {id: later, type: quantity, status: draft}\nitems:", 1)
    catalog = catalog.replace("support: phone", "support: phone, later: 5")
    return Service(customer("acme"), customer("bob", "silver"), customer("rich", "platinum"), catalog=catalog)


@pytest.fixture(scope="module")
def url(service: Service) -> Iterator[str]:
    """Where it is."""
    with service.serve() as where:
        yield where.url
        service.run(service.state.drain)  # which ends the streams


def ask(tmp_path: Path, url: str, command: list[str], questions: list[Json]) -> list[Any]:
    """The answers of a program."""
    (tmp_path / "questions.json").write_text(json.dumps(questions))
    said = run(*command, url, tmp_path / "questions.json", folder=tmp_path)
    found: list[Any] = json.loads(next(line for line in said.splitlines() if line.startswith("[")))
    return found


def javascript(tmp_path: Path, name: str) -> list[str]:
    """The command of a program beside which its packages are."""
    (tmp_path / "node_modules").symlink_to(Path(SDKS, "node_modules"))
    shutil.copy(HERE / name, tmp_path)
    return ["node", str(tmp_path / name)]


def commands(tmp_path: Path) -> dict[str, list[str]]:
    """The program of each language."""
    classpath = Path(SDKS, "classpath").read_text().strip() if HAS_JAVA else ""
    return {
        "python": [f"{SDKS}/venv/bin/python", str(HERE / "ask.py")],
        "go": [f"{SDKS}/ask-go"],
        "java": ["java", "-cp", classpath, str(HERE / "java/Ask.java")],
        "javascript": javascript(tmp_path, "ask-server.mjs"),
    }


JAVA: Final = pytest.param(
    "java", marks=pytest.mark.skipif(bool(SDKS) and not HAS_JAVA, reason="the SDK of Java could not be had")
)


@pytest.mark.parametrize("language", ["python", "go", JAVA, "javascript"])
def test_a_server_sdk_gets_the_decisions(tmp_path: Path, url: str, language: str) -> None:
    """Values by type, our reason in the metadata; errors, for which the SDK returns the default."""
    command = commands(tmp_path)[language]
    asked = [it for it, _, _ in QUESTIONS]
    *answers, unlimited, unknown, nobody = ask(tmp_path, url, command, [*asked, UNLIMITED, UNKNOWN, NOBODY])

    expected = [(value, None, reason, reason == "granted") for _, value, reason in QUESTIONS]
    if language == "go":  # which returns the default for what is disabled
        expected = [(7, *it[1:]) if it[2] == "feature_inactive" else it for it in expected]
    found = [(it["value"], it["code"], it["metadata"]["reason"], it["metadata"]["allowed"]) for it in answers]
    assert found == expected
    assert {it["reason"] for it in answers} == {"TARGETING_MATCH", "DISABLED"}
    if language == "java":  # whose integers have 32 bits: callers take a double
        assert unlimited["code"] == "TYPE_MISMATCH"
    else:
        assert (unlimited["value"], unlimited["metadata"]["unlimited"]) == (LARGEST, True)
    assert (unknown["value"], unknown["code"]) == (True, "FLAG_NOT_FOUND")
    assert nobody["value"] is True
    assert nobody["code"] in {"TARGETING_KEY_MISSING", "INVALID_CONTEXT"}


def test_the_web_sdk_gets_all_flags_and_their_changes(tmp_path: Path, url: str, service: Service) -> None:
    """For each context, and without polling when a customer changes: the stream of events says so."""
    asked = [it for it, _, _ in QUESTIONS]
    (tmp_path / "questions.json").write_text(json.dumps([asked[2], *asked, UNLIMITED]))
    command = [*javascript(tmp_path, "ask-web.mjs"), url, "questions.json", str(tmp_path / "ready")]
    program = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    downgrade = threading.Event()
    try:
        for _ in range(600):
            if (tmp_path / "ready").exists() or program.poll() is not None or downgrade.wait(0.1):
                break

        def change() -> None:
            service.subjects.records["acme"] = customer("acme", "silver")
            service.state.subject_changed("acme", ["sub-acme"])

        service.run(change)
        said = program.communicate(timeout=60)[0]
    finally:
        program.kill()
    _, *answers, unlimited, changed = json.loads(said)

    assert [(it["value"], it["metadata"]["reason"]) for it in answers] == [
        (value, reason) for _, value, reason in QUESTIONS
    ]
    assert (unlimited["value"], unlimited["metadata"]["unlimited"]) == (LARGEST, True)
    assert changed == 30
