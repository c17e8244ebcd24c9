"""The command line. Composes the parts by hand; each command imports what it alone needs when it runs."""

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process, and end the process with its exit code."""
    import io
    import sys

    from tiergate.cli.invocation import run

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an odd argument, or locale, is no reason to fail
    sys.exit(run(sys.argv[1:]))
