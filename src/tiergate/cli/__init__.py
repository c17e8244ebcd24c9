"""The command line. Composes the parts by hand; each command imports what it alone needs when it runs."""

_SERVING = ("sidecar", "control-plane", "injector", "up")
"""The commands that go on until they are told to end."""


def main() -> None:
    """Run the command line of this process, and end the process with its exit code."""
    import sys

    from tiergate.process.termination import install_signal_handlers

    # INVARIANT (told at any time): nothing that takes long is imported before this.
    install_signal_handlers(serves=len(sys.argv) > 1 and sys.argv[1] in _SERVING)
    import io

    from tiergate.cli.invocation import run

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an odd argument, or locale, is no reason to fail
    sys.exit(run(sys.argv[1:]))
