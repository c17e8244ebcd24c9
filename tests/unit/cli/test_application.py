from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tiergate import errors, publish
from tiergate.cli.exit_codes import EXIT_MEANINGS, ExitCode, exit_code

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli

HEAVY = ("cedarpy", "httptools", "msgspec", "prometheus_client", "rich", "starlette", "structlog", "uvicorn", "yaml")


def test_the_command_line_loads_nothing_heavy_before_it_knows_what_to_do() -> None:
    """What commands need is imported when they run, so that completion and `--help` answer at once."""
    code = f"import sys, tiergate.cli.application; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"


def test_python_m_tiergate_is_the_command_line() -> None:
    """The package can be run as a module."""
    ran = subprocess.run([sys.executable, "-m", "tiergate", "version"], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.split()[0], ran.stderr) == (0, "tiergate", "")


def test_an_unknown_command_is_a_wrong_call(cli: Cli) -> None:
    """A command that does not exist ends with the code of a wrong call."""
    assert cli("compille").code == ExitCode.USAGE


def test_no_command_lists_the_commands(cli: Cli) -> None:
    """`tiergate` alone shows what there is."""
    assert "compile" in cli().out


@pytest.mark.parametrize("command", [["--help"], ["-h"], ["compile", "--help"], ["import", "pricing2yaml", "-h"]])
def test_help_is_no_failure(cli: Cli, command: list[str]) -> None:
    """Asking for help ends with 0."""
    assert cli(*command).code == 0


def test_every_error_of_ours_has_an_exit_code_of_its_own_branch() -> None:
    """The one table covers the whole tree of errors: none ends as an internal one."""
    named = [getattr(errors, name) for name in errors.__all__]
    kinds = [
        it for it in named if isinstance(it, type) and issubclass(it, BaseException) and it is not errors.TiergateError
    ]
    assert all(exit_code(kind.__new__(kind)) is not ExitCode.INTERNAL for kind in kinds)
    assert exit_code(errors.CompileError([])) is ExitCode.INPUT
    assert exit_code(errors.SettingsError("s", "d")) is ExitCode.USAGE
    assert exit_code(errors.ListenError()) is ExitCode.OPERATOR
    assert exit_code(errors.UnknownFeatureError("f")) is ExitCode.USAGE
    assert exit_code(errors.SidecarUnreachableError("u", "d")) is ExitCode.UNREACHABLE


def test_every_exit_code_has_its_meaning() -> None:
    """No code is without a word about it."""
    assert set(EXIT_MEANINGS) == set(ExitCode)


def test_problems_are_named_with_their_places(cli: Cli, broken: Path, tmp_path: Path) -> None:
    """Each problem is a line on standard error: file, line, column, severity, message and code."""
    ran = cli("compile", broken, "-o", tmp_path / "bundle")
    assert ran.code == ExitCode.INPUT
    assert ran.out == ""
    first = ran.err.splitlines()[0]
    assert first.startswith(f"{broken}:3:24: error: ")
    assert first.endswith("]")
    assert not (tmp_path / "bundle").exists()


def test_problems_are_json_where_a_program_asked(cli: Cli, broken: Path, tmp_path: Path) -> None:
    """With `--json` the same problems are one document on standard output."""
    ran = cli("compile", broken, "-o", tmp_path / "bundle", "--json")
    document = json.loads(ran.out)
    assert ran.code == document["exit_code"] == ExitCode.INPUT
    assert ran.err == ""
    assert {problem["line"] for problem in document["problems"]} >= {3}
    assert set(document["problems"][0]) == {"file", "line", "column", "severity", "code", "message"}


def test_a_file_that_cannot_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    """An error of the operating system is told with its file, without a traceback."""
    ran = cli("import", "pricing2yaml", "--help")
    (tmp_path / "file").write_text("", encoding="utf-8")
    source = tmp_path / "pricing.yml"
    source.write_text(PRICING, encoding="utf-8")
    ran = cli("import", "pricing2yaml", source, "-o", tmp_path / "file" / "catalog.yaml")
    assert ran.code == ExitCode.OPERATOR
    assert ran.err == f"error: `{tmp_path}/file/catalog.yaml`: not a directory\n"


def test_an_interrupt_has_the_code_that_shells_give_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C ends a command quietly with 130."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publish, "compile_bundle", interrupt)
    ran = cli("compile", tmp_path, "-o", tmp_path / "bundle")
    assert (ran.code, ran.out, ran.err) == (ExitCode.INTERRUPTED, "", "")


def test_a_defect_is_told_as_one(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What nobody foresaw ends with 70, and shows where it came from."""

    def fail(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(publish, "compile_bundle", fail)
    ran = cli("compile", tmp_path, "-o", tmp_path / "bundle")
    assert ran.code == ExitCode.INTERNAL
    assert "Traceback" in ran.err
    assert "RuntimeError: unforeseen" in ran.err
    assert "defect in tiergate" in ran.err


def test_shells_complete_the_commands() -> None:
    """The completion that `--install-completion` sets up knows every command."""
    script = "from tiergate.cli import main; import sys; sys.argv[0] = 'tiergate'; main()"
    environment = {"_TIERGATE_COMPLETE": "complete_bash", "COMP_WORDS": "tiergate ", "COMP_CWORD": "1"}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, check=False, capture_output=True, text=True)
    assert {"compile", "check", "explain", "demo", "import", "version"} <= set(ran.stdout.split())


PRICING = """\
saasName: Notes
syntaxVersion: "2.1"
version: "1"
createdAt: "2025-01-01"
currency: USD
features:
  sharing: {valueType: BOOLEAN, defaultValue: false, type: DOMAIN}
plans:
  FREE: {price: 0, unit: user/month, features: null}
  PRO: {price: 5, unit: user/month, features: {sharing: {value: true}}}
"""
