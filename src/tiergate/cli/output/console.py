"""What commands write: results to standard output, everything else to standard error; colours at a terminal only."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console
    from rich.text import Text

_PATIENCE = 1.0
"""Seconds after which work shows that it goes on."""


def console(stream: TextIO) -> Console:
    """Make a console that writes text as it is: no markup, no highlighting, no wrapping of its own."""
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, soft_wrap=True, emoji=False)


def say(text: str | Text = "", style: str | None = None) -> None:
    """Write a line of the result to standard output."""
    _write(sys.stdout, text, style)


def say_table(rows: Sequence[tuple[str, str]], indent: str = "  ") -> None:
    """Write rows of a word and what it says to standard output, in two columns."""
    width = max((len(word) for word, _ in rows), default=0)
    for word, content in rows:
        say(f"{indent}{word:{width}}  {content}" if width else f"{indent}{content}")


def warn(text: str | Text, style: str | None = None) -> None:
    """Write a line that is not the result, such as a problem, to standard error."""
    _write(sys.stderr, text, style)


def _write(stream: TextIO, text: str | Text, style: str | None) -> None:
    try:
        if stream.isatty():
            console(stream).print(text, style=style)
        else:
            stream.write(f"{text}\n")
    except BrokenPipeError:
        let_go(stream)


def let_go(stream: TextIO) -> None:
    """Write to nowhere from now on, because whoever read the stream has stopped; what is to be done is done still."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show at a terminal, after a second, what is being done and for how long already."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    progress = Progress(*columns, console=console(sys.stderr), transient=True)
    progress.add_task(what, total=None)
    timer = threading.Timer(_PATIENCE, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        progress.stop()
