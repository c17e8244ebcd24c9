"""`tiergate preview`, and `--accept-loss` of `publish` and `apply`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.admin import serving
from tests.publishing import CATALOG, Press, opened
from tiergate.control.api import apply_export, bundles, customers, immediate_changes, imports, items, publishing
from tiergate.control.feed_api.bundle_archives import BundleArchives
from tiergate.impact.preview.loss_token import Loss, loss_token
from tiergate.impact.preview.subject_effects import Effect
from tiergate.model import Amount, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.cli.conftest import Cli

LESS = CATALOG.replace("movies: 50, support: chat", "movies: 40, support: chat")
LOSS = "1 customer would lose something or get less (`movies`: 1 gets less)"
TOKEN = loss_token("acme", [Loss(Subject("acme"), "movies", Effect.LESS, None, 50, 40)])
SUBJECTS = """\
apiVersion: tiergate/v1
customers: [{id: acme}, {id: beta}]
subscriptions:
  - {id: s1, customer: acme, status: active, items: [{item: gold}]}
  - {id: s2, customer: beta, status: active, items: [{item: free}]}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with an old and a new catalog, customers, and what they have used."""
    for name, text in (("old.yaml", CATALOG), ("new.yaml", LESS), ("subjects.yaml", SUBJECTS)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    line = {"subject": "acme", "feature": "movies", "used": 45}
    (tmp_path / "usage.ndjson").write_text(json.dumps(line) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def plane(sqlite_url: str, files: Path) -> Iterator[tuple[Press, list[str | Path]]]:
    """A control plane where `acme` holds `gold`, and the options that name it."""
    with opened(sqlite_url) as press:
        press.apply()
        press.hold("acme", "gold")
        endpoints = [
            *bundles.endpoints(press.publisher, BundleArchives(press.store)),
            *customers.endpoints(),
            *items.endpoints(),
            *apply_export.endpoints(press.publisher),
            *imports.endpoints(),
            *publishing.endpoints(press.publisher),
            *immediate_changes.endpoints(press.publisher),
        ]
        key = files / "admin.key"
        key.write_text("admin", encoding="utf-8")
        with serving(press.store, endpoints) as admin:
            yield press, ["--control-plane", admin.url, "--key-file", key]


def sides(files: Path) -> list[str | Path]:
    """The options that name both catalogs and the customers."""
    return ["--catalog-old", files / "old.yaml", "--catalog", files / "new.yaml", "--subjects", files / "subjects.yaml"]


def test_files_are_previewed(cli: Cli, files: Path) -> None:
    """Who gets less, who has used more than that, and on request everything in a file and an exit code."""
    ran = cli("preview", *sides(files), "--usage", files / "usage.ndjson", "--list", files / "list", "--exit-code")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "- movies: 1 customer gets less",
        "    acme: 50 → 40, 45 used (above the new limit)",
        "checked 2 customers: 1 affected, 1 loses or gets less, 1 above the new limit",
    ]
    (line,) = (files / "list").read_text().splitlines()
    said = json.loads(line)
    assert (said["customer"], said["effect"], said["used"], said["above"]) == ("acme", "less", 45, True)


def test_a_limit_that_becomes_hard_is_previewed(cli: Cli, files: Path) -> None:
    """Though its number stays: what was allowed above it is taken."""
    text = CATALOG.replace("{id: movies, type: quantity", "{id: movies, type: quantity, metered: {reset: month}")
    soft = text.replace("movies: 50", "movies: {value: 50, limit: soft, overage_max: 20}")
    (files / "old.yaml").write_text(soft, encoding="utf-8")
    (files / "new.yaml").write_text(text, encoding="utf-8")
    ran = cli("preview", *sides(files))
    assert ran.out.splitlines()[:2] == [
        "- movies: 1 customer gets less",
        "    acme: 50, soft limit, at most 20 above → 50",
    ]


def test_a_preview_is_told_as_one_document(cli: Cli, files: Path) -> None:
    """With the tally."""
    ran = cli("preview", *sides(files), "--json")
    assert (ran.code, json.loads(ran.out)["impact"]["customers"]["less"]) == (0, 1)


def test_mistakes_in_files_are_told_at_their_lines(cli: Cli, files: Path) -> None:
    """Of usage as of subjects; an option that is missing is named."""
    (files / "usage.ndjson").write_text("{}\n")
    ran = cli("preview", *sides(files), "--usage", files / "usage.ndjson")
    assert (ran.code, f"{files / 'usage.ndjson'}:1:1: error" in ran.err) == (3, True)
    (files / "subjects.yaml").write_text(SUBJECTS.replace("item: free", "item: fre"))
    assert (ran := cli("preview", *sides(files))).code == 3
    assert "subjects.yaml" in ran.err
    assert cli("preview", "--catalog", files / "new.yaml").code == 2


def test_what_is_pending_on_a_control_plane_is_previewed(
    cli: Cli, files: Path, plane: tuple[Press, list[str | Path]]
) -> None:
    """As it would be published, or a file as it would be applied; nothing is published."""
    press, where = plane
    ran = cli("preview", *where, "--catalog", files / "new.yaml", "--list", files / "list")
    assert ran.code == 0
    assert "- movies: 1 customer gets less" in ran.out.splitlines()
    assert json.loads((files / "list").read_text())["customer"] == "acme"
    assert cli("preview", *where).out == "nothing changes\n"
    assert press.sequence == 1


def test_usage_meets_the_customers_of_a_control_plane(
    cli: Cli, files: Path, plane: tuple[Press, list[str | Path]]
) -> None:
    """They are exported, and looked at here."""
    _, where = plane
    ran = cli("preview", *where, "--catalog", files / "new.yaml", "--usage", files / "usage.ndjson")
    assert ran.code == 0, ran.err
    assert "    acme: 50 → 40, 45 used (above the new limit)" in ran.out.splitlines()


def test_a_loss_must_be_accepted(cli: Cli, files: Path, plane: tuple[Press, list[str | Path]]) -> None:
    """Exit code 1 and who loses what, until it is."""
    press, where = plane
    refused = cli("apply", "-f", files / "new.yaml", *where)
    assert refused.code == 1
    assert refused.err.splitlines() == [
        "- movies: 1 customer gets less",
        "    acme: 50 → 40",
        f"error: {LOSS}: to accept exactly this, give `--accept-loss {TOKEN}`",
    ]
    as_json = json.loads(cli("apply", "-f", files / "new.yaml", "--json", *where).out)
    assert (as_json["exit_code"], as_json["impact"]["customers"]["take"], press.sequence) == (1, 1, 1)
    assert as_json["accept_loss"] == TOKEN
    assert cli("apply", "-f", files / "new.yaml", "--accept-loss", *where).code == 1  # no terminal to ask at
    assert cli("apply", "-f", files / "new.yaml", "--accept-loss", "yes", *where).code == 2
    other = TOKEN[:-4] + "0000"
    assert cli("apply", "-f", files / "new.yaml", "--accept-loss", other, *where).code == 1
    assert press.sequence == 1
    assert cli("apply", "-f", files / "new.yaml", "--accept-loss", TOKEN, *where).code == 0
    assert press.sequence == 2


def test_without_a_token_it_asks_at_a_terminal(
    cli: Cli, files: Path, plane: tuple[Press, list[str | Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And takes exactly what it showed, once that is confirmed."""
    press, where = plane
    asked: list[str] = []
    confirmed = False

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return confirmed

    for said in (False, True):
        confirmed = said
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
        monkeypatch.setattr("typer.confirm", confirm)
        code = cli("apply", "-f", files / "new.yaml", *where, "--accept-loss").code
        assert (code, press.sequence) == ((0, 2) if said else (1, 1))
    assert asked == ["Reduce this for 1 customer?"] * 2


def test_a_preview_says_how_to_go_on(cli: Cli, files: Path, plane: tuple[Press, list[str | Path]]) -> None:
    """With the token of the loss, and a dry run with the tag of what it would publish too."""
    press, where = plane
    ran = cli("preview", *where, "--catalog", files / "new.yaml")
    assert f"to accept exactly this loss: --accept-loss {TOKEN}" in ran.out.splitlines()
    last = cli("apply", "-f", files / "new.yaml", "--dry-run", *where).err.splitlines()[-1]
    text, _, options = last.partition(": ")
    assert text == "to publish exactly this"
    press.draft("free", {"movies": Amount(6)})
    press.publish()
    stale = cli("apply", "-f", files / "new.yaml", *options.split(), *where)
    assert (stale.code, "publication 2 is" in stale.err) == (1, True)
    again = cli("apply", "-f", files / "new.yaml", "--dry-run", *where).err.splitlines()[-1].partition(": ")[2]
    assert cli("apply", "-f", files / "new.yaml", *again.split(), *where).code == 0


def test_a_rollback_is_bound_by_its_tag_and_its_token(cli: Cli, plane: tuple[Press, list[str | Path]]) -> None:
    """It needs neither; given, they must be right."""
    press, where = plane
    press.draft("gold", {"movies": Amount(60)})
    press.publish()
    last = cli("rollback", "1", "--dry-run", *where).err.splitlines()[-1]
    options = last.partition(": ")[2].split()
    assert options[2] == "--accept-loss"
    assert cli("rollback", "1", "--if-match", "999", *where).code == 1
    assert cli("rollback", "1", "--accept-loss", TOKEN, *where).code == 1
    assert press.sequence == 2
    assert cli("rollback", "1", *options, *where).code == 0
    press.draft("gold", {"movies": Amount(60)})
    press.publish()
    assert cli("rollback", "--accept-loss", "1", *where).code == 0


def test_recorded_checks_that_would_be_denied_are_told(cli: Cli, files: Path) -> None:
    """Those that a decision log allowed, by the usage that it recorded; and that usage counts as known."""
    decision = {"allowed": True, "reason": "granted", "feature": "movies", "publication": 1, "revision": "sha256:0"}
    lines = [
        {
            "id": f"d{used}",
            "time": "2026-11-01T00:00:00.000Z",
            "request": {"subject": "acme", "feature": "movies", "used": used},
            "decision": decision,
        }
        for used in (10, 44, 44)
    ]
    (files / "log").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    ran = cli("preview", *sides(files), "--log", files / "log")
    assert ran.code == 0, ran.err
    assert "1 recorded check that was allowed would be denied (2 times in the log)" in ran.out
    assert "acme: 50 → 40, 44 used (above the new limit)" in ran.out
