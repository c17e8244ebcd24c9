from __future__ import annotations

from typing import Any

import pytest
import typer
from hypothesis import given as over
from hypothesis import strategies as st
from typer.testing import CliRunner

from tiergate.cli.setting_options import add_command, setting_values
from tiergate.cli.sidecar_startup import plain_flags, run_plain_sidecar
from tiergate.sidecar.settings import TABLE

SWITCHES = [setting.flag for setting in TABLE.settings if setting.kind.word == "boolean"]
OTHERS = ["--settings", *(setting.flag for setting in TABLE.settings if setting.flag not in SWITCHES)]
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
PLAIN = st.one_of(
    st.sampled_from(SWITCHES).map(lambda flag: [flag]),
    st.tuples(st.sampled_from(OTHERS), TEXTS).map(lambda pair: [f"{pair[0]}={pair[1]}"]),
    st.tuples(st.sampled_from(OTHERS), TEXTS.filter(lambda text: not text.startswith("-"))).map(list),
)
ODD = st.sampled_from(["--", "-h", "--help", "--por", "--hos=x", "x", "", "-", "=", "--port", "-p", f"{SWITCHES[0]}=1"])


def by_typer(args: list[str]) -> dict[str, Any] | None:
    """What Typer makes of the same arguments: the flags that were given, or None where it does not serve."""
    found: dict[str, Any] | None = None

    def command(**flags: Any) -> None:  # noqa: ANN401 - what Typer gives
        nonlocal found
        found = {name: value for name, value in setting_values(flags).items() if value not in (None, [])}

    app = typer.Typer(context_settings={"help_option_names": ["--help", "-h"]})
    add_command(app, command, TABLE)
    CliRunner().invoke(app, args)
    return found


@over(st.lists(PLAIN, max_size=6))
def test_plain_flags_are_what_typer_reads(pieces: list[list[str]]) -> None:
    """Repeated ones, empty ones, and values with equals signs among them."""
    args = [arg for piece in pieces for arg in piece]
    plain = plain_flags(args, TABLE)
    assert plain is not None
    assert plain == by_typer(args)


@over(st.lists(st.one_of(PLAIN, ODD.map(lambda arg: [arg])), max_size=4))
def test_whatever_is_not_plain_is_left_to_typer(pieces: list[list[str]]) -> None:
    """Nothing is read that Typer would read otherwise, or refuse."""
    args = [arg for piece in pieces for arg in piece]
    plain = plain_flags(args, TABLE)
    assert plain is None or plain == by_typer(args)


@pytest.mark.parametrize("args", [[], ["check", "--subject", "a"], ["sidecar", "--help"], ["sidecar", "--prot", "1"]])
def test_other_calls_are_not_served_plainly(args: list[str]) -> None:
    """Other commands, help and mistakes go the long way."""
    assert not run_plain_sidecar(args)


def test_completion_is_not_served_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that asks how to complete `tiergate sidecar` does not start one."""
    monkeypatch.setenv("_TIERGATE_COMPLETE", "complete_bash")
    assert not run_plain_sidecar(["sidecar"])
