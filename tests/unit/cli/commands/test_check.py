from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.conftest import FILES
from tiergate.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli

QUESTIONS = {
    "a switch that the plan gives": ("ada analytics", "granted"),
    "a switch that the plan does not give": ("ben analytics", "not_entitled"),
    "a quantity within plan and add-ons": ("ada movies --used 69", "granted"),
    "a quantity beyond them": ("ada movies --used 70", "limit_reached"),
    "several at once": ("ada movies --used 60 --amount 11", "limit_reached"),
    "a fraction that is a whole step": ("ada downloads --amount 2.5 --used 10", "granted"),
    "a fraction that is no whole step": ("ada downloads --amount 0.7", "amount_invalid"),
    "a range within what is granted": ("initech api-requests --value 800", "granted"),
    "a range beyond": ("initech api-requests --value 801", "out_of_range"),
    "a level that is held": ("ada support --level phone", "granted"),
    "a level above": ("ada support --level priority-phone", "level_too_low"),
    "a trial": ("cleo movies --used 4711", "granted"),
    "a trial that has ended": ("dan movies", "subscription_inactive"),
    "that trial while it lasted": ("dan movies --at 2026-01-15", "granted"),
    "an override": ("eva analytics", "granted"),
    "that override after its end": ("eva analytics --at 2100-01-01T00:00:00Z", "not_entitled"),
    "an override that is over": ("finn analytics", "not_entitled"),
    "a suspended feature": ("cleo watch-party", "feature_suspended"),
    "a rule": ("gus movies", "rule_denied"),
    "an override on one subscription": ("sub-initech support --subscription --level priority-phone", "granted"),
    "a user inside a customer": ("ada support --user ann", "granted"),
    "nobody": ("zoe movies", "unknown_subject"),
}


@pytest.mark.parametrize("case", QUESTIONS)
def test_the_sample_answers_as_its_comments_say(cli: Cli, case: str) -> None:
    """Every kind of question to the sample has its reason and its exit code."""
    question, reason = QUESTIONS[case]
    ran = cli("check", *question.split(), *FILES, "--json")
    document = json.loads(ran.out)
    assert document["reason"] == reason
    assert ran.code == (ExitCode.OK if document["allowed"] else ExitCode.NO)


def test_an_answer_is_told_in_words(cli: Cli) -> None:
    """The verdict comes first, then what is held, from where, and by which policies it was decided."""
    ran = cli("check", "ada", "movies", "--used", "70", *FILES)
    assert ran.out.splitlines() == [
        "no: the limit is reached (limit_reached)",
        "  entitlement  70 movies/month, 70 used, 0 remaining",
        "  from         plan/gold@1: 50",
        "               2 × addon/extra-movies@1: +10",
        "  decided by   reason/limit-reached",
    ]


def test_numbers_keep_their_digits(cli: Cli) -> None:
    """Exact numbers go in, and exact numbers come out."""
    document = json.loads(cli("check", "ada", "downloads", "--amount", "2.50", "--used", "10.5", *FILES, "--json").out)
    assert document["entitlement"] == {
        "value": 12.5,
        "unlimited": False,
        "unit": "GB",
        "used": 10.5,
        "remaining": 2,
    }


MISTAKES = {
    "a feature that is not there": ("ada moovies", "no feature `moovies` in the catalog, did you mean `movies`?"),
    "a field of another type": ("ada analytics --amount 1", "a switch such as `analytics` does not accept `amount`"),
    "an amount of nothing": ("ada movies --amount 0", "field `amount`: must be positive"),
    "a number that is none": ("ada movies --amount many", "field `amount`: `many` is not a number"),
    "a number without an end": ("ada movies --used Infinity", "field `used`: must be a finite number"),
    "a level that is not there": ("ada support --level fax", "`fax` is not a level of `support`"),
    "a subject that can be none": ("ext:crm:7 movies", "field `subject.id`: must not begin with `ext:`"),
    "an instant that is none": ("ada movies --at tomorrow", "setting `at`: `tomorrow` must be an instant"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_the_question_is_no_answer(cli: Cli, case: str) -> None:
    """A malformed question ends with the code of a wrong call, never with yes or no."""
    question, message = MISTAKES[case]
    ran = cli("check", *question.split(), *FILES)
    assert (ran.code, ran.out) == (ExitCode.USAGE, "")
    assert message in ran.err


WRONG_CALLS = {
    "files and a sidecar": (*FILES, "--url", "http://127.0.0.1:1"),
    "a catalog without subjects": FILES[:2],
    "subjects without a catalog": FILES[2:4],
    "rules for a sidecar": FILES[4:],
    "another time for a sidecar": ("--at", "2027-01-01"),
    "an address that is none": ("--url", "localhost"),
}


@pytest.mark.parametrize("case", WRONG_CALLS)
def test_options_that_contradict_each_other_are_refused(cli: Cli, case: str) -> None:
    """What cannot be meant is not guessed."""
    assert cli("check", "ada", "movies", *WRONG_CALLS[case]).code == ExitCode.USAGE


def test_no_sidecar_has_a_code_of_its_own(cli: Cli) -> None:
    """Where nobody listens, the answer is neither yes nor no."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        ran = cli("check", "ada", "movies", "--url", f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert (ran.code, ran.out) == (ExitCode.UNREACHABLE, "")
    assert "connection refused" in ran.err


def test_problems_of_the_subjects_file_are_named(cli: Cli, tmp_path: Path) -> None:
    """A subjects file with problems decides nothing, even about the others in it."""
    subjects = tmp_path / "subjects.yaml"
    text = "apiVersion: tiergate/v1\ncustomers:\n  - {id: ada}\n  - {id: ada}\n"
    subjects.write_text(text, encoding="utf-8")
    ran = cli("check", "ada", "movies", *FILES[:2], "--subjects", subjects)
    assert ran.code == ExitCode.INPUT
    assert f"{subjects}:4:" in ran.err


def test_a_mistake_is_json_where_a_program_asked(cli: Cli) -> None:
    """With `--json` a refused question is a document too."""
    ran = cli("check", "ada", "moovies", *FILES, "--json")
    document = json.loads(ran.out)
    assert (ran.code, ran.err) == (ExitCode.USAGE, "")
    assert document == {
        "error": "no feature `moovies` in the catalog, did you mean `movies`?",
        "exit_code": 2,
        "problems": [],
    }


def test_bytes_that_are_no_text_are_a_mistake_too() -> None:
    """An argument that is not UTF-8 is refused like any other feature that is not there."""
    command: list[str | bytes] = [sys.executable, "-m", "tiergate", "check", "ada", b"mov\xffies", *FILES, "--json"]
    ran = subprocess.run(command, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (ExitCode.USAGE, b"")
    assert b"no feature `mov\\udcffies`" in ran.stdout


@pytest.mark.parametrize("token", [b"", b"two words\xff", b"\xff\xfe"])
def test_a_token_that_can_be_none_is_refused(cli: Cli, tmp_path: Path, token: bytes) -> None:
    """A token file whose first line is anything but printable ASCII is a mistake in the call."""
    (tmp_path / "token").write_bytes(token)
    ran = cli("check", "ada", "movies", "--token-file", tmp_path / "token")
    assert ran.code == ExitCode.USAGE
    assert "setting `token`: must be printable ASCII characters" in ran.err
