"""The command line. Composes the parts by hand; each command imports what it alone needs when it runs."""

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process, and end the process with its exit code."""
    import sys

    from tiergate.cli.application import run

    sys.exit(run(sys.argv[1:]))
