"""Exit codes: the one table from errors to exit codes. Documented in docs/reference/cli.md."""

from __future__ import annotations

from enum import IntEnum

from tiergate.errors import AuthorError, CallerError, OperatorError, SettingsError, SidecarUnreachableError, SyncError


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    NO = 1
    USAGE = 2
    INPUT = 3
    OPERATOR = 4
    UNREACHABLE = 5
    INTERNAL = 70
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "Success; for `check`: the answer is yes.",
    ExitCode.NO: "The answer is no: a check was denied, a test failed, coverage is too low, `lint --strict` has "
    "warnings, a replay differs, `diff --exit-code` does not prove equality, customers would lose something by what is "
    "published or previewed, or what would be published is not what was reviewed.",
    ExitCode.USAGE: "The call is wrong: an argument, an option, a setting, or a field of a check. Also what the "
    "control plane rejects: a key that is not valid or may not do this, or an id that does not exist.",
    ExitCode.INPUT: "Input files have problems; each is reported with its file, line and column.",
    ExitCode.OPERATOR: "The machine has a problem: a port in use, an unreadable file, a full disk, a damaged bundle.",
    ExitCode.UNREACHABLE: "The sidecar or the control plane does not answer.",
    ExitCode.INTERNAL: "A defect in Tiergate. Please report the output.",
    ExitCode.INTERRUPTED: "Interrupted (SIGINT) before the end.",
    ExitCode.TERMINATED: "Terminated (SIGTERM) before the end. Commands that serve (`sidecar`, `control-plane`, "
    "`injector`, `up`) exit with 0 on either signal, at any time.",
}
"""The meaning of each code, for the reference page."""

EXIT_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (AuthorError, ExitCode.INPUT),
    (SettingsError, ExitCode.USAGE),
    (OperatorError, ExitCode.OPERATOR),
    (CallerError, ExitCode.USAGE),
    (SidecarUnreachableError, ExitCode.UNREACHABLE),
    (SyncError, ExitCode.UNREACHABLE),
    (OSError, ExitCode.OPERATOR),
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
)
"""The first row that matches decides; without a match it is an internal error."""


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), ExitCode.INTERNAL)
