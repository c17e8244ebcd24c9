"""`python -m tiergate`: the command line."""

from tiergate.cli import main

if __name__ == "__main__":
    main()
