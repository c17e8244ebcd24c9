from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.serving import Service
from tests.stores import put_in_force
from tests.unit.cli.conftest import CATALOG, FILES, SAMPLE
from tests.unit.control import subjects as kept
from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.local_engine import compile_engine
from tiergate.control.api import replays
from tiergate.engine import Evaluator
from tiergate.model import Subject, SubjectRecord, format_instant
from tiergate.publish.bundle_cache import BundleCache
from tiergate.sidecar.decision_log import DecisionLog, LogRules, Mask
from tiergate.sidecar.request_context import NO_CONTEXT
from tiergate.sidecar.state import FeedPosition, Generation
from tiergate.store.publications import publication

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.cli.conftest import Cli, Ran
    from tests.unit.control.subjects import Ticking
    from tiergate.store import Store

CLOCK = kept.NOW
AT = format_instant(CLOCK)
ADA = b'{"subject": "ada", "feature": "movies", "used": 70.0}'
JUST_CATALOG = ("--catalog", CATALOG, "--rules", str(SAMPLE / "rules"))


def log_of(path: Path, *checks: bytes, rules: LogRules | None = None, batch: bool = False) -> list[str]:
    """Have a sidecar on the sample's files answer checks, and log them; give their ids."""
    log = DecisionLog(str(path), rules)
    log.start()
    service = Service(log=log)
    service.clock.now = CLOCK
    engine = compile_engine(
        [SAMPLE / "catalog.yaml"], [SAMPLE / "subjects.yaml"], SAMPLE / "rules", Subject("ada")
    ).engine
    service.state.install(Generation(2, engine, engine.publication, engine.revision, CLOCK))
    if batch:
        reply = asyncio.run(service.native.batches.respond(b'{"checks": [%b]}' % b",".join(checks), NO_CONTEXT))
        replies = [reply]
    else:
        replies = [service.check(check) for check in checks]
    log.close()
    return [(reply.decision_id or b"").decode() for reply in replies]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "decisions.ndjson"


def replayed(ran: Ran, code: ExitCode = ExitCode.OK) -> dict[str, Any]:
    """What a replay says in JSON."""
    assert ran.code == code, ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


# ── with a log, and files ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_recorded_decision_comes_out_the_same(cli: Cli, log: Path) -> None:
    """Byte by byte, with the sentences that say why."""
    (id_, other) = log_of(log, ADA, b'{"subject": "ada", "feature": "support"}')
    found = replayed(cli("replay", id_, "--log", log, *FILES, "--json"))

    assert (found["id"], found["exact"], found["differences"]) == (id_, True, {})
    assert found["recorded"] == found["replayed"]["decision"]
    assert found["recorded"]["reason"] == "limit_reached"
    assert found["replayed"]["at"] == AT
    assert "70" in " ".join(found["replayed"]["sentences"])
    told = cli("replay", other, "--log", log, *FILES).out.splitlines()
    assert told[0] == f"{other}: same decision, byte for byte"
    assert told[2] == "yes: granted"


def test_a_log_with_records_needs_no_subjects(cli: Cli, log: Path) -> None:
    """The catalog is enough, for those who are unknown too."""
    ids = log_of(log, ADA, b'{"subject": "zoe", "feature": "movies"}', rules=LogRules(records=True))
    for id_ in ids:
        assert replayed(cli("replay", id_, "--log", log, *JUST_CATALOG, "--json"))["exact"]
    ran = cli("replay", ids[0], "--log", log, *JUST_CATALOG, "--today")
    assert ran.code == ExitCode.USAGE
    assert "`subjects`" in ran.err


def test_what_does_not_come_out_the_same_is_told(cli: Cli, log: Path, tmp_path: Path) -> None:
    """With what differs, and by its exit code."""
    (id_,) = log_of(log, ADA)
    less = tmp_path / "subjects.yaml"
    less.write_text(
        (SAMPLE / "subjects.yaml")
        .read_text()
        .replace("{item: extra-movies, quantity: 2}", "{item: extra-movies, quantity: 5}")
    )
    ran = cli("replay", id_, "--log", log, *JUST_CATALOG, "--subjects", less)

    assert ran.code == ExitCode.NO
    assert f"{id_}: different decision" in ran.out
    assert '  reason                 "limit_reached" → "granted"' in ran.out.splitlines()
    assert "other subjects" in ran.err
    found = replayed(cli("replay", id_, "--log", log, *JUST_CATALOG, "--subjects", less, "--json"), ExitCode.NO)
    assert found["exact"] is False
    assert found["differences"]["entitlement.value"] == [70, 100]


def test_a_log_that_was_handed_on_in_another_form_is_the_same(cli: Cli, log: Path) -> None:
    """Tools that ship logs space, order and escape JSON in their own way, and may write 70 as 70.0."""
    (id_,) = log_of(log, ADA)
    line = json.loads(log.read_text())
    line["decision"]["entitlement"]["used"] = 70.0
    log.write_text(json.dumps(line, sort_keys=True) + "\n")
    found = replayed(cli("replay", id_, "--log", log, *FILES, "--json"))
    assert (found["exact"], found["same"], found["differences"]) == (False, True, {})
    ran = cli("replay", id_, "--log", log, *FILES)
    assert ran.code == ExitCode.OK
    assert ran.out.startswith(f"{id_}: same decision; ")


def test_true_is_no_number(cli: Cli, log: Path) -> None:
    """However alike Python holds them."""
    (id_,) = log_of(log, b'{"subject": "ada", "feature": "analytics"}')
    text = log.read_text()
    log.write_text(text.replace('"entitlement":{"value":true', '"entitlement":{"value":1'))
    assert log.read_text() != text
    found = replayed(cli("replay", id_, "--log", log, *FILES, "--json"), ExitCode.NO)
    assert found["differences"] == {"entitlement.value": [1, True]}


def test_another_catalog_is_refused(cli: Cli, log: Path, tmp_path: Path) -> None:
    """It is not the one that decided."""
    (id_,) = log_of(log, ADA)
    other = tmp_path / "catalog.yaml"
    other.write_text((SAMPLE / "catalog.yaml").read_text().replace("movies: 50", "movies: 30"))
    ran = cli("replay", id_, "--log", log, "--catalog", other, *FILES[2:])

    assert ran.code == ExitCode.USAGE
    assert "but `sha256:" in ran.err


def test_a_decision_of_a_batch_is_asked_for_by_its_place(cli: Cli, log: Path) -> None:
    """The id of the whole batch names none of them."""
    (id_,) = log_of(log, ADA, b'{"subject": "ada", "feature": "support"}', batch=True)
    ran = cli("replay", id_, "--log", log, *FILES)

    assert ran.code == ExitCode.USAGE
    assert f"`{id_}` is a batch: give one of its decisions, `{id_}.0` to `{id_}.1`" in ran.err
    assert replayed(cli("replay", f"{id_}.1", "--log", log, *FILES, "--json"))["recorded"]["feature"] == "support"


@pytest.mark.parametrize("mask", [Mask.HASH, Mask.DROP])
def test_a_masked_decision_says_so(cli: Cli, log: Path, mask: Mask) -> None:
    """And how else it can be asked for."""
    (id_,) = log_of(log, ADA, rules=LogRules(subject=mask))
    ran = cli("replay", id_, "--log", log, *FILES)

    assert ran.code == ExitCode.USAGE
    assert f"{log}:1: the subject is masked: use `--subject`" in ran.err


def test_a_decision_that_is_not_in_the_log_says_why_that_may_be(cli: Cli, log: Path) -> None:
    """It was not in the sample, for instance."""
    log_of(log, ADA, rules=LogRules(sample=0))
    ran = cli("replay", "d1", "--log", log, *FILES)

    assert ran.code == ExitCode.USAGE
    assert f"no decision `d1` in `{log}`" in ran.err
    assert "sample" in ran.err


def test_a_line_that_is_cut_off_is_told_by_its_place(cli: Cli, log: Path) -> None:
    """The process that wrote it came to a sudden end."""
    first, id_ = log_of(log, ADA, ADA)
    log.write_bytes(log.read_bytes()[:-20])
    ran = cli("replay", id_, "--log", log, *FILES)

    assert ran.code == ExitCode.USAGE
    assert f"{log}:2:1: error: the line is cut off" in ran.err
    assert replayed(cli("replay", first, "--log", log, *FILES, "--json"))["exact"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["d1", *FILES], "`log`: is required"),
        (["d1", "--log", "LOG", "--subject", "ada", *FILES], "`subject`: is in the log already"),
        (["--log", "LOG", *FILES], "`log`: needs the ID"),
        (["--subject", "ada", "--at", AT, *FILES], "`feature`: is required"),
        (["--subject", "ada", "--feature", "movies", *FILES], "`at`: is required"),
        (["--subject", "ada", "--feature", "movies", "--at", AT], "`key-file`: is required"),
        (["--subject", "ada", "--feature", "movies", "--at", AT, "--rules", "LOG"], "`catalog`: is required"),
        (["--subject", "ada", "--feature", "movies", "--at", "noon", *FILES], "`at`"),
        (["--subject", "ada", "--feature", "movie", "--at", AT, *FILES], "did you mean `movies`?"),
    ],
)
def test_a_question_that_is_not_whole_is_refused(cli: Cli, log: Path, arguments: list[str], words: str) -> None:
    """With what is missing, or too much."""
    log_of(log, ADA)
    ran = cli("replay", *[str(log) if it == "LOG" else it for it in arguments])

    assert ran.code == ExitCode.USAGE
    assert words in ran.err


def test_files_answer_without_a_log(cli: Cli) -> None:
    """What they would have decided then, and what they decide today."""
    found = replayed(
        cli(
            *("replay", "--subject", "eva", "--feature", "analytics"),
            *("--at", "2100-01-01"),
            *FILES,
            "--today",
            "--json",
        )
    )
    assert "exact" not in found
    assert found["replayed"]["decision"]["reason"] == "not_entitled"
    assert found["today"]["decision"]["reason"] == "granted"
    assert found["today"]["differences"]["reason"] == ["not_entitled", "granted"]


# ── against a control plane ──────────────────────────────────────────────────────────────────────────────────────────


class Remote(Protocol):
    """Runs `tiergate replay` against a control plane with `acme`, who has `gold` through `s1`."""

    store: Store
    clock: Ticking

    def __call__(self, *args: str | Path) -> Ran:
        """Run it."""


@pytest.fixture
def remote(sqlite_url: str, cli: Cli, tmp_path: Path) -> Iterator[Remote]:
    """Give it."""
    with kept.served(sqlite_url, [*kept.ENDPOINTS, *replays.endpoints()]) as (admin, store, clock):
        client = admin.as_("admin")
        kept.made(client.post("/v1/customers", json={"id": "acme"}))
        body = {"id": "s1", "status": "active", "items": [{"item": "gold"}]}
        kept.made(client.post("/v1/customers/acme/subscriptions", json=body))
        key = tmp_path / "key"
        key.write_text("analyst", encoding="utf-8")

        def call(*args: str | Path) -> Ran:
            return cli("replay", *args, "--control-plane", admin.url, "--key-file", key)

        call.store, call.clock = store, clock  # type: ignore[attr-defined]
        yield call  # type: ignore[misc]


def followed(remote: Remote, path: Path, check: bytes) -> str:
    """Have a sidecar that follows the store decide a check, and log it; give the decision's id."""
    log = DecisionLog(str(path))
    log.start()
    service = Service(log=log)
    service.clock.now = remote.clock.now
    head = remote.store.read(lambda unit: unit.head())
    revision = remote.store.read(lambda unit: publication(unit.session, head.publication)).revision
    bundle = BundleCache().open(remote.store, revision)
    record = remote.store.read(lambda unit: unit.record("acme", public=True))

    class Found:
        """The customer as the store has it."""

        def find(self, _: object) -> SubjectRecord | None:
            """It."""
            return record

    engine = Evaluator(bundle, Found(), publication=head.publication)
    service.state.install(Generation(2, engine, head.publication, revision, CLOCK))
    service.state.feed_position = FeedPosition(remote.store.id, head.position)
    service.state.set_stale_at(service.clock.now + 60_000)
    reply = service.check(check)
    log.close()
    return (reply.decision_id or b"").decode()


def test_a_control_plane_makes_it_again_after_everything_changed(remote: Remote, log: Path) -> None:
    """And says what it would be today, with the same usage."""
    id_ = followed(remote, log, b'{"subject": "acme", "feature": "movies", "used": 49.0}')
    remote.clock.now += 60_000
    put_in_force(remote.store, kept.CATALOG.replace("movies: 50", "movies: 30"))
    found = replayed(remote(id_, "--log", log, "--today", "--json"))

    assert found["exact"] is True
    assert found["recorded"]["entitlement"]["value"] == 50
    assert found["today"]["decision"]["reason"] == "limit_reached"
    assert found["today"]["at"] == format_instant(remote.clock.now)
    assert {"allowed", "reason", "entitlement.value", "publication"} <= found["today"]["differences"].keys()
    told = remote(id_, "--log", log, "--today").out
    assert "\ntoday\nno: the limit is reached (limit_reached)\n" in told
    assert "\n  entitlement.value      50 → 30\n" in told


def test_today_may_be_the_same(remote: Remote, log: Path) -> None:
    """By which publication, and for how long, is told."""
    id_ = followed(remote, log, b'{"subject": "acme", "feature": "support"}')
    put_in_force(remote.store, kept.CATALOG.replace("movies: 50", "movies: 30"))
    told = remote(id_, "--log", log, "--today").out

    assert "\ntoday: same decision\n" in told
    assert "  publication  1 → 2" in told


def test_today_the_feature_may_be_gone(remote: Remote, log: Path) -> None:
    """Then that is said, and the past is told all the same."""
    id_ = followed(remote, log, b'{"subject": "acme", "feature": "legacy"}')
    put_in_force(remote.store, kept.CATALOG.replace("  - {id: legacy, type: switch, status: archived}\n", ""))
    ran = remote(id_, "--log", log, "--today")

    assert ran.code == ExitCode.OK
    assert "today: cannot be decided" in ran.out
    assert "`legacy`" in ran.out


def test_it_answers_what_was_so_at_an_instant(remote: Remote) -> None:
    """Without any log."""
    before = remote.clock.now
    remote.clock.now += 60_000
    put_in_force(remote.store, kept.CATALOG.replace("movies: 50", "movies: 30"))
    asked = ("--subject", "acme", "--feature", "movies", "--used", "40", "--at", format_instant(before))
    told = remote(*asked, "--today").out

    assert told.startswith("yes: granted\n")
    assert "no: the limit is reached (limit_reached)" in told


def test_a_decision_on_files_is_not_asked_of_a_control_plane(remote: Remote, log: Path) -> None:
    """Its publication is none of the store's."""
    (id_,) = log_of(log, ADA)
    ran = remote(id_, "--log", log)

    assert ran.code == ExitCode.USAGE
    assert "give `--catalog` and `--subjects`" in ran.err


def test_a_decision_by_another_store_is_refused(remote: Remote, log: Path) -> None:
    """With both names."""
    id_ = followed(remote, log, b'{"subject": "acme", "feature": "movies"}')
    log.write_text(log.read_text().replace(remote.store.id, "elsewhere"))
    ran = remote(id_, "--log", log)

    assert ran.code == ExitCode.USAGE
    assert "`elsewhere`" in ran.err
    assert remote.store.id in ran.err


def test_a_line_without_a_basis_is_replayed_by_its_instant(remote: Remote, log: Path) -> None:
    """As earlier releases wrote it; with a warning."""
    id_ = followed(remote, log, b'{"subject": "acme", "feature": "support", "level": "chat"}')
    entry = json.loads(log.read_text())
    del entry["basis"]
    del entry["decision"]["valid_until"]
    log.write_text(json.dumps(entry, separators=(",", ":")) + "\n")
    ran = remote(id_, "--log", log)

    assert ran.code == ExitCode.OK
    assert f"{log}:1: the line does not have what the decision was made from" in ran.err


def test_an_answer_from_before_there_was_data_says_so(cli: Cli, log: Path) -> None:
    """Nothing was decided then, so nothing can be made again."""
    written = DecisionLog(str(log))
    written.start()
    service = Service(ready=False, log=written)
    service.state.serve_unloaded()
    reply = service.check(ADA)
    written.close()
    ran = cli("replay", (reply.decision_id or b"").decode(), "--log", log, *FILES)

    assert ran.code == ExitCode.USAGE
    assert f"{log}:1: the sidecar had not loaded data" in ran.err
