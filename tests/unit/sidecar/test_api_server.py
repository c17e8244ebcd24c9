from __future__ import annotations

from structlog.testing import capture_logs

from tiergate.cedar import CedarResult
from tiergate.engine import Difference
from tiergate.engine.shapes.answer_table import Answer
from tiergate.model import Reason
from tiergate.sidecar.api_server import engine_options
from tiergate.sidecar.settings import Settings


def test_a_kept_answer_that_differs_is_logged() -> None:
    """As an error, with both answers and no customer."""
    rechecks = engine_options(Settings()).rechecks
    kept = Answer(allowed=True, static=("override/use",), by_items=False, reason=Reason.GRANTED)
    with capture_logs() as logs:
        rechecks.count(Difference("seats", kept, CedarResult(allowed=False, policies=("rule/a/b",), errors=())))
    (line,) = logs
    assert line["log_level"] == "error"
    assert (line["feature"], line["kept_allowed"], line["cedar_policies"]) == ("seats", True, ("rule/a/b",))


def test_settings_choose_how_answers_are_kept() -> None:
    """By default they are, and one in a thousand is checked."""
    usual = engine_options(Settings())
    assert usual.keep_answers
    assert sum(usual.rechecks.is_due() for _ in range(200_000)) in range(150, 250)
    assert not engine_options(Settings(always_ask_cedar=True)).keep_answers
    rechecks = engine_options(Settings(recheck_one_in=0)).rechecks
    assert not any(rechecks.is_due() for _ in range(5_000))
