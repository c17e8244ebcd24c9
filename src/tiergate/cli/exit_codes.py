"""Exit codes: the one table from errors to what the process says at its end. Documented in docs/reference/cli.md."""

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
    ExitCode.OK: "It worked; for `check`: the answer is yes.",
    ExitCode.NO: "The answer is no: a check was denied, a test failed or too little is covered, `lint --strict` has "
    "warnings, a replay differs, `diff --exit-code` has no proof that nothing does, or customers would lose something "
    "by what is published or previewed, or what would be published is not what was reviewed.",
    ExitCode.USAGE: "The command was called wrongly: an argument, an option, a setting, or a field of a check.",
    ExitCode.INPUT: "Input files have problems; each is named with its file, line and column.",
    ExitCode.OPERATOR: "The machine is at fault: a port in use, a file that cannot be read or written, a torn bundle.",
    ExitCode.UNREACHABLE: "No sidecar answers, or no control plane.",
    ExitCode.INTERNAL: "A defect in Tiergate. Please report what it printed.",
    ExitCode.INTERRUPTED: "It was interrupted (SIGINT) before it was done.",
    ExitCode.TERMINATED: "It was told to end (SIGTERM) before it was done. Commands that serve (`sidecar`, "
    "`control-plane`, `injector`, `up`) end with 0 on either signal, whenever it comes.",
}
"""What each code means, for the reference page."""

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
"""The first row that fits decides; what fits none is an internal error."""


def exit_code(error: BaseException) -> ExitCode:
    """The exit code that stands for an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), ExitCode.INTERNAL)
