from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.conftest import FILES
from tiergate.cedar import authorize_text
from tiergate.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli

AT = ("--at", "2027-01-01T00:00:00Z")


def test_an_explanation_says_everything_that_mattered(cli: Cli) -> None:
    """Subject, items, values, facts and the text of the deciding policy are told."""
    out = cli("explain", "ada", "movies", "--used", "70", *FILES, *AT).out
    for line in (
        "no: the limit is reached (limit_reached)",
        "  The limit is 70 movies/month; the check says that 70 are used, so 0 remain.",
        "  Together that makes 70 movies/month.",
        '  Customer::"ada" consume Feature::"movies"',
        "  at 2027-01-01 00:00:00 UTC",
        "  sub-ada  active: in effect",
        "  addon/extra-movies@1  × 2",
        "  plan/gold@1: 50",
        "  2 × addon/extra-movies@1: +10",
        "  total: 70 movies/month, 70 used, 0 remaining",
        "  limit       70",
        '  @id("reason/limit-reached")',
        "    context.used + context.amount > context.ceiling",
        "  guard/feature-suspended",
    ):
        assert line in out.splitlines()


def test_an_override_is_told_with_its_reason_and_end(cli: Cli) -> None:
    """Who reads the explanation learns why an override was given and until when it holds."""
    out = cli("explain", "initech", "support", *FILES, *AT).out
    assert (
        "  support-1 on sub-initech  replace priority-phone: in effect until 2100-01-01 00:00:00 UTC, "
        "by sales, because: renewal"
    ) in out.splitlines()
    assert "valid until\n  2100-01-01 00:00:00 UTC\n" in out


def test_an_override_that_is_over_is_told_as_such(cli: Cli) -> None:
    """What no longer counts is named too: it is what people ask about."""
    assert "ended 2026-04-01 00:00:00 UTC, because: pilot" in cli("explain", "finn", "analytics", *FILES).out


def test_an_override_to_come_is_told_as_such(cli: Cli) -> None:
    """So is what does not count yet."""
    out = cli("explain", "finn", "analytics", *FILES, "--at", "2025-12-31").out
    assert "replace true: starts 2026-01-01 00:00:00 UTC, because: pilot" in out


def test_a_suspension_is_told_with_its_reason(cli: Cli) -> None:
    """A feature that is switched off says for whom and why."""
    out = cli("explain", "cleo", "watch-party", *FILES, *AT).out
    assert "  for everybody  in effect, because: sound and picture drift apart" in out.splitlines()


def test_a_subscription_that_does_not_count_is_told_as_such(cli: Cli) -> None:
    """A trial that is over is the answer to why nothing is held."""
    out = cli("explain", "dan", "movies", *FILES, *AT).out
    assert "  sub-dan  trialing: ended 2026-01-31 00:00:00 UTC" in out.splitlines()


def test_units_are_told_where_cedar_counts_in_smaller_ones(cli: Cli) -> None:
    """The facts of a feature with decimal digits say what they count in."""
    out = cli("explain", "ada", "downloads", *FILES).out
    assert "Cedar context, in units of 0.1 GB\n" in out
    assert "  limit       125\n" in out


CAPPED = """\
apiVersion: tiergate/v1
features:
  - {id: seats, type: quantity, caps: {per_user: 2}}
items:
  - {id: team, kind: plan, entitlements: {seats: 5}}
"""

ACME = """\
apiVersion: tiergate/v1
customers: [{id: acme}]
subscriptions: [{id: sub_1, customer: acme, status: active, items: [{item: team}]}]
"""


def test_a_cap_is_told_number_by_number(cli: Cli, tmp_path: Path) -> None:
    """Facts within facts stand each on a line of their own."""
    (tmp_path / "catalog.yaml").write_text(CAPPED, encoding="utf-8")
    (tmp_path / "subjects.yaml").write_text(ACME, encoding="utf-8")
    files = ("--catalog", tmp_path / "catalog.yaml", "--subjects", tmp_path / "subjects.yaml")
    lines = cli("explain", "acme", "seats", "--user", "ann", "--user-used", "2", *files).out.splitlines()
    assert lines[0] == "no: a cap is reached (cap_reached)"
    assert [line.split() for line in lines if "userCap." in line][:2] == [["userCap.limit", "2"], ["userCap.used", "2"]]


def test_one_subscription_is_explained_by_itself(cli: Cli) -> None:
    """A check about a subscription shows this one alone."""
    out = cli("explain", "sub-ada", "movies", "--subscription", *FILES).out
    assert 'Subscription::"sub-ada" consume' in out
    assert out.splitlines()[0] == "yes: granted"


def test_nobody_is_explained_too(cli: Cli, tmp_path: Path) -> None:
    """An unknown subject is an answer, but there is nothing that Cedar decided, and nothing to export."""
    ran = cli("explain", "zoe", "movies", *FILES, "--export", tmp_path / "out")
    assert ran.code == 0
    assert ran.out.startswith("no: no customer or subscription has this id (unknown_subject)\n")
    assert ran.err == "nothing to export: `zoe` is unknown\n"
    assert not (tmp_path / "out").exists()


def test_an_explanation_is_json_where_a_program_asked(cli: Cli) -> None:
    """With `--json` it is one document, the one that a sidecar answers with."""
    document = json.loads(cli("explain", "ada", "analytics", *FILES, *AT, "--json").out)
    assert document["decision"]["allowed"] is True
    assert document["context"]["now"] == document["asked"]["at"] == "2027-01-01T00:00:00.000Z"
    assert document["held"] == {"addon/extra-movies@1": 2, "plan/gold@1": 1}
    assert [policy["id"] for policy in document["policies"] if policy["decided"]] == ["plan/gold@1/analytics"]


EXPORTED = [
    "ada analytics",
    "ben analytics",
    "ada movies --used 69",
    "ada movies --used 70",
    "initech api-requests --value 800",
    "initech api-requests --value 1000",
    "ada support --level phone",
    "ada support --level priority-phone",
    "cleo watch-party",
    "dan movies",
    "eva analytics",
    "gus movies",
    "ada support --user ann",
    "sub-initech support --subscription",
]


@pytest.mark.parametrize("question", EXPORTED)
def test_an_export_decides_the_same_in_plain_cedar(cli: Cli, tmp_path: Path, question: str) -> None:
    """The exported text alone, through Cedar's plain string interface, gives the decision and the same policies."""
    document = json.loads(cli("explain", *question.split(), *FILES, "--export", tmp_path, "--json").out)
    files = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    outcome = authorize_text(
        files["policies.cedar"], files["entities.json"], files["schema.cedarschema"], json.loads(files["request.json"])
    )
    assert outcome.errors == ()
    assert outcome.allowed is document["decision"]["allowed"]
    policies = (
        outcome.policies
        or authorize_text(
            files["reasons.cedar"],
            files["entities.json"],
            files["schema.cedarschema"],
            json.loads(files["request.json"]),
        ).policies
    )
    assert list(policies) == document["decision"]["policies"]


def test_an_export_says_how_to_ask_cedar(cli: Cli, tmp_path: Path) -> None:
    """The README of an export has the command, the decision, and the second set where that gave the reason."""
    cli("explain", "ada", "movies", "--used", "70", *FILES, "--export", tmp_path)
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "**DENY**, `limit_reached`" in readme
    assert "cedar authorize \\\n  --policies policies.cedar \\\n" in readme
    assert "--policies reasons.cedar" in readme


def test_files_or_a_data_folder_are_required(cli: Cli) -> None:
    """Without either there is nothing to explain from; with both, it is unclear which is meant."""
    assert cli("explain", "ada", "movies").code == ExitCode.USAGE
    assert cli("explain", "ada", "movies", *FILES, "--data", "somewhere").code == ExitCode.USAGE


def test_a_folder_that_no_sidecar_used_is_refused(cli: Cli, tmp_path: Path) -> None:
    """A data folder without a record of what is in force decides nothing."""
    ran = cli("explain", "ada", "movies", "--data", tmp_path)
    assert ran.code == ExitCode.OPERATOR
    assert "is not the data folder of a sidecar" in ran.err


ODD = [
    "tenant/42",
    'quo"te',
    "back\\slash",
    "O'Brien",
    "-begins-like-an-option",
    "\u0301mark",
    "no\u00a0break",
    "\U0001f469\u200d\U0001f680",
]


@pytest.mark.parametrize("id_", ODD)
def test_an_export_decides_the_same_for_whoever_has_an_id_of_another_system(cli: Cli, tmp_path: Path, id_: str) -> None:
    """As customer, subscription and user, which rules name by the same ids; nothing in an id becomes Cedar."""
    catalog, subjects, rules = (tmp_path / name for name in ("catalog.yaml", "subjects.json", "rules"))
    catalog.write_text(
        "apiVersion: tiergate/v1\nfeatures: [{id: movies, type: quantity}]\n"
        "items: [{id: gold, kind: plan, entitlements: {movies: 50}}]\n"
    )
    held = {"id": id_, "customer": id_, "status": "active", "items": [{"item": "gold"}]}
    whole = {"apiVersion": "tiergate/v1", "customers": [{"id": id_}], "subscriptions": [held]}
    subjects.write_text(json.dumps(whole))
    rules.mkdir()
    literal = json.dumps(id_, ensure_ascii=False)
    (rules / "named.cedar").write_text(
        f'@id("banned")\nforbid (principal == User::{literal}, action in Action::"access", resource)\n'
        f"when {{ principal.customer == {literal} }};\n",
        encoding="utf-8",
    )
    files = ("--catalog", catalog, "--subjects", subjects, "--rules", rules)
    for question, allowed in (((), True), (("--subscription",), True), ((f"--user={id_}",), False)):
        folder = tmp_path / "-".join(["export", *(word.partition("=")[0] for word in question)])
        ran = cli("explain", *question, *files, "--export", folder, "--json", "--", id_, "movies")
        document = json.loads(ran.out)
        assert document["decision"]["allowed"] is allowed
        text = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
        request = json.loads(text["request.json"])
        outcome = authorize_text(text["policies.cedar"], text["entities.json"], text["schema.cedarschema"], request)
        assert (outcome.errors, outcome.allowed) == ((), allowed)
        assert list(outcome.policies) == document["decision"]["policies"]
