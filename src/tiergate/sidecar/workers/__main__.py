"""The process of a worker: `python -m tiergate.sidecar.workers DESCRIPTOR`, which its leader starts."""


def main() -> None:
    """Serve until the leader ends, or says so."""
    import sys

    from tiergate.process.termination import install_signal_handlers

    # INVARIANT (told at any time): no slow import comes before this.
    install_signal_handlers(serves=True)
    from tiergate.process.import_guard import block_imports

    with block_imports("rich"):  # structlog imports it for tracebacks in colour
        import structlog  # noqa: F401
    from tiergate.sidecar.workers.worker import run

    run(int(sys.argv[1]))


if __name__ == "__main__":
    main()
