"""What commands write: results to standard output, all else to standard error; colours and progress at terminals."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console
    from rich.text import Text

_ACTIVITY_DELAY = 1.0
"""Seconds after which a running task is shown."""
_COUNT_INTERVAL = 5.0
"""Seconds between two lines of a count, without a terminal."""


def console(stream: TextIO) -> Console:
    """Make a console that writes text as it is: no markup, no highlighting, no wrapping of its own."""
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, soft_wrap=True, emoji=False)


def print_line(text: str | Text = "", style: str | None = None) -> None:
    """Write a line of the result to standard output."""
    _write(sys.stdout, text, style)


def print_table(rows: Sequence[tuple[str, str]], indent: str = "  ") -> None:
    """Write rows of a label and its content to standard output, in two columns."""
    width = max((len(label) for label, _ in rows), default=0)
    for label, content in rows:
        print_line(f"{indent}{label:{width}}  {content}" if width else f"{indent}{content}")


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Write rows of the same number of cells to standard output, in columns; the first are the heads."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print_line("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def print_section(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Write an empty line, a title and a table; nothing if there are no rows."""
    if rows:
        print_line()
        print_line(title, "bold")
        print_table(rows)


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
        discard_output(stream)


def discard_output(stream: TextIO) -> None:
    """Discard what is written from now on, because the reader closed the stream; the command still finishes."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)


@contextmanager
def show_activity(task: str) -> Iterator[None]:
    """Show at a terminal, after a second, what is running and for how long."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    progress = Progress(*columns, console=console(sys.stderr), transient=True)
    progress.add_task(task, total=None)
    timer = threading.Timer(_ACTIVITY_DELAY, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        progress.stop()


@contextmanager
def show_count(task: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show on standard error how much is done: a bar at a terminal, else a line every few seconds."""
    if not sys.stderr.isatty():
        last = time.monotonic()

        def write(count: int) -> None:
            nonlocal last
            if time.monotonic() - last >= _COUNT_INTERVAL:
                last = time.monotonic()
                warn(f"{task}: {count:,}" + (f" of {total:,}" if total else ""))

        yield write
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console(sys.stderr), transient=True) as progress:
        row = progress.add_task(task, total=total)
        yield lambda count: progress.update(row, completed=count)
