from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.admin import serving
from tests.publishing import CATALOG, Press, opened
from tiergate.control.api import apply_export, features, immediate_changes, imports, items, publishing
from tiergate.model import Amount, Level, Switch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.cli.conftest import Cli, Ran

RULE = '@id("a")\nforbid (principal, action, resource == Feature::"movies");\n'


class Remote(Protocol):
    """Runs a command against a control plane, as an admin unless another key is named."""

    def __call__(self, command: str, *args: str | Path, role: str = "admin") -> Ran:
        """Run `tiergate COMMAND`."""


@pytest.fixture
def press(sqlite_url: str) -> Iterator[Press]:
    """A store, empty."""
    with opened(sqlite_url) as found:
        yield found


@pytest.fixture
def remote(press: Press, cli: Cli, tmp_path: Path) -> Iterator[Remote]:
    """The command line, and a control plane on the store that it asks."""
    publisher = press.publisher
    endpoints = [
        *features.endpoints(),
        *items.endpoints(),
        *publishing.endpoints(publisher),
        *immediate_changes.endpoints(publisher),
        *apply_export.endpoints(publisher),
        *imports.endpoints(),
    ]
    with serving(press.store, endpoints) as admin:

        def call(command: str, *args: str | Path, role: str = "admin") -> Ran:
            key = tmp_path / f"{role}.key"
            key.write_text(role, encoding="utf-8")
            return cli(command, *args, "--control-plane", admin.url, "--key-file", key)

        yield call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A catalog file."""
    path = tmp_path / "catalog.yaml"
    path.write_text(CATALOG, encoding="utf-8")
    return path


def test_a_file_is_applied_once(remote: Remote, press: Press, file: Path) -> None:
    """It tells what changes; a second time nothing does; a trial has no effect."""
    trial = remote("apply", "-f", file, "--dry-run")
    assert (trial.code, press.sequence) == (0, 0)
    assert "+ item gold" in trial.out
    first = remote("apply", "-f", file)
    assert (first.code, first.out.splitlines()[:-1]) == (0, trial.out.splitlines()[:-1])
    assert first.out.splitlines()[-1].startswith("publication 1: sha256:")
    again = remote("apply", "-f", file)
    assert (again.code, again.out) == (0, "nothing to publish: publication 1 is current\n")


def test_changes_are_told_value_by_value(remote: Remote, file: Path) -> None:
    """With what was before and what is after."""
    remote("apply", "-f", file)
    file.write_text(CATALOG.replace("movies: 50, support: chat", "movies: 60"), encoding="utf-8")
    assert remote("apply", "-f", file).out.splitlines()[:-1] == [
        "~ item gold",
        '    rollouts: [{"version": 1}] → [{"version": 2}]',
        '    versions 1: {"analytics": true, "movies": 50, "support": "chat"} → no longer in the catalog',
        "    versions 2 movies: 50 → 60",
        "    versions 2 support: chat → nothing",
    ]


def test_metered_settings_are_told_in_words(remote: Remote, file: Path) -> None:
    """Of features, and of entitlements that say otherwise."""
    text = CATALOG.replace("{id: movies, type: quantity", "{id: movies, type: quantity, metered: {reset: month}")
    file.write_text(text, encoding="utf-8")
    remote("apply", "-f", file)
    text = text.replace("reset: month", "reset: {every: 2, of: week}, limit: soft")
    file.write_text(text.replace("movies: 50", "movies: {value: 50, limit: hard}"), encoding="utf-8")
    told = remote("apply", "-f", file).out.splitlines()
    assert told[:3] == [
        "~ feature movies",
        "    use above the limit: denied → allowed",
        "    usage resets: every month → every 2 weeks",
    ]
    assert "    versions 2 movies: 50 → 50, hard limit" in told


def test_problems_are_told_at_their_lines(remote: Remote, file: Path, press: Press) -> None:
    """Those of the files without a control plane, those of the store by it: exit code 3 for both."""
    remote("apply", "-f", file)
    file.write_text(CATALOG.replace("entitlements: {movies: 5}", "version: 1, entitlements: {}"))
    ran = remote("apply", "-f", file)
    assert ran.code == 3
    assert f"{file}:7:" in ran.err
    assert "[version-published]" in ran.err
    file.write_text(CATALOG.replace("type: switch", "type: swich"))
    assert remote("apply", "-f", file).code == 3
    assert press.sequence == 1


def test_subjects_are_written_after_the_catalog(remote: Remote, file: Path, tmp_path: Path, press: Press) -> None:
    """Those that hold something new too; not on trial."""
    subjects = tmp_path / "subjects.yaml"
    held = "{id: s1, customer: acme, status: active, items: [{item: gold, quantity: 1}]}"
    text = f"apiVersion: tiergate/v1\ncustomers:\n  - {{id: acme}}\nsubscriptions:\n  - {held}\n"
    subjects.write_text(text, encoding="utf-8")
    assert remote("apply", "-f", file, "--subjects", subjects, "--dry-run").code == 0
    assert press.count()["customer"] == 0
    first, second = (remote("apply", "-f", file, "--subjects", subjects) for _ in range(2))
    assert first.out.splitlines()[-1] == "1 customers, 1 subscriptions: 2 changed"
    assert second.out.splitlines()[-1] == "1 customers, 1 subscriptions: 0 changed"


def test_what_is_exported_can_be_applied(remote: Remote, file: Path, tmp_path: Path) -> None:
    """With its rules; nothing changes by it."""
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "eu.cedar").write_text(RULE, encoding="utf-8")
    remote("apply", "-f", file, "--rules", rules)
    copy, copied = tmp_path / "copy.yaml", tmp_path / "copied"
    assert remote("export", "--rules", copied, "-o", copy).code == 0
    assert (copied / "eu.cedar").read_text(encoding="utf-8") == RULE
    assert remote("export").out == copy.read_text(encoding="utf-8")
    assert remote("apply", "-f", copy, "--rules", copied, "--prune").out.startswith("nothing to publish")


def test_what_is_edited_is_published_and_undone(remote: Remote, file: Path, press: Press) -> None:
    """For some first, if so wanted; and the list says all of it."""
    remote("apply", "-f", file)
    press.draft("gold", {"analytics": Switch(on=True), "movies": Amount(70), "support": Level("chat")})
    chosen = remote("publish", "--item", "gold", "--audience", "12.5%", "--note", "a try")
    assert (chosen.code, "versions 2 movies: 50 → 70" in chosen.out) == (0, True)
    assert press.catalog.items["gold"].rollouts[-1].audience.share == 1250
    assert remote("rollback", "1", "--dry-run").out.splitlines()[-1].startswith("would become publication 3: sha256:")
    assert remote("rollback", "1").code == 0
    said = json.loads(remote("publications", "--json").out)["publications"]
    assert [(it["publication"], it.get("rolled_back_to")) for it in said] == [(3, 1), (2, None), (1, None)]
    assert "a try" in remote("publications").out


def test_what_is_refused_has_its_exit_code(remote: Remote, file: Path) -> None:
    """2 where the caller asked wrongly or may not, 3 for what stands against it."""
    remote("apply", "-f", file)
    assert remote("publish", role="analyst").code == 2
    assert remote("publish", "--audience", "most").code == 2
    assert remote("rollback", "9").code == 2
    assert remote("publish", "--item", "golden").code == 3
    trial = remote("publish", "--item", "golden", "--dry-run", "--json")
    assert (trial.code, json.loads(trial.out)["problems"][0]["code"]) == (3, "unknown-item")
