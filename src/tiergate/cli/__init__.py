"""The command line. Each command imports what only it needs when it runs."""

_SERVING = ("sidecar", "control-plane", "injector", "up")
"""The commands that run until a signal ends them."""

_YOUNG_OBJECTS = 10_000
"""Objects after which garbage is looked for: what imports make stays, and looking through it is a tenth of a start."""


def main() -> None:
    """Run the command line of this process, and exit with its exit code."""
    import sys

    from tiergate.process.termination import install_signal_handlers

    # INVARIANT (told at any time): no slow import comes before this.
    install_signal_handlers(serves=len(sys.argv) > 1 and sys.argv[1] in _SERVING)
    import gc

    gc.set_threshold(_YOUNG_OBJECTS)
    import io

    from tiergate.cli.invocation import run

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an unusual argument or locale is no reason to fail
    sys.exit(run(sys.argv[1:]))
