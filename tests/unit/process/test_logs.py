from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

SAY = """
import logging, structlog
from tiergate.process.logs import configure_logs
configure_logs({form!r}, {level!r})
structlog.get_logger("tiergate.x").info("in force", publication=7)
structlog.get_logger("tiergate.x").debug("detail")
logging.getLogger("tiergate.y").error("a check of `%s` failed", "movies")
logging.getLogger("uvicorn.error").info("Started server process")
secret = "tg_" + "secret"
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("tiergate.x").exception("a defect")
"""


def said(form: str = "json", level: str = "info") -> str:
    """What a process that logs a little writes on standard error."""
    command = [sys.executable, "-c", SAY.format(form=form, level=level)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    return ran.stderr


def events(text: str) -> list[dict[str, Any]]:
    """The events of a log in JSON."""
    return [json.loads(line) for line in text.splitlines()]


def test_an_event_is_one_line_of_json_with_its_fields() -> None:
    """Level and time are with it."""
    event = events(said())[0]
    assert (event["event"], event["publication"], event["level"]) == ("in force", 7, "info")
    assert event["timestamp"].endswith("Z")


def test_libraries_log_in_the_same_form() -> None:
    """Whatever uses `logging`; uvicorn's small talk is left out."""
    found = events(said())
    assert [event["event"] for event in found] == ["in force", "a check of `movies` failed", "a defect"]
    assert found[1]["level"] == "error"


def test_an_exception_stays_on_its_line() -> None:
    """With its traceback as a field."""
    assert "ZeroDivisionError" in events(said())[-1]["exception"]


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 2)])
def test_the_level_says_what_is_logged(level: str, count: int) -> None:
    """From that one on."""
    assert len(events(said(level=level))) == count


def test_the_form_for_people_is_text() -> None:
    """One reads it at a terminal; without one, `auto` is JSON."""
    assert "publication=7" in said("console")
    assert events(said("auto")) != []


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_shows_no_variables(form: str) -> None:
    """Among which are keys and secrets."""
    text = said(form)
    assert "ZeroDivisionError" in text
    assert "tg_secret" not in text
