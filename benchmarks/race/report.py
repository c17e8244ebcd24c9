"""The results of the race as tables and lists, for the terminal and for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.race.results import PeerResult, Speed

_US = "Tiergate"
_NOTICEABLE = 1.05
"""A smaller advantage is within the error of a measurement."""
_HEADINGS = (
    "system",
    "repeated, requests/s (of the floor)",
    "varying, requests/s (of the floor)",
    "repeated / Tiergate",
    "varying / Tiergate",
    "p99 repeated / varying, 16 connections, ms",
    "p99 varying, 1 connection, ms",
    "RSS, MB",
    "start to first right answer, s",
    "change of a plan until a check shows it",
)
_MEASURES: tuple[tuple[str, Callable[[PeerResult], float | None], bool], ...] = (
    ("repeated checks", lambda result: _share(result.repeated), True),
    ("varying checks", lambda result: _share(result.varying), True),
    ("p99 of varying checks, 16 connections", lambda result: _p99(result.varying), False),
    ("p99 of varying checks, 1 connection", lambda result: result.single_p99_ms, False),
    ("memory", lambda result: result.rss_mb, False),
    ("start", lambda result: result.start_s, False),
    ("change of a plan", lambda result: result.change_ms, False),
)
"""Name, value, and whether more is better."""


def console_table(results: Sequence[PeerResult]) -> Table:
    """Return the table for the terminal."""
    table = Table(title="The race", show_lines=True)
    for heading in _HEADINGS:
        table.add_column(heading)
    for cells in _rows(results):
        table.add_row(*cells)
    return table


def markdown_table(results: Sequence[PeerResult]) -> str:
    """Return the table for the page."""
    lines = [_line(_HEADINGS), "|" + "---|" * len(_HEADINGS)]
    return "\n".join([*lines, *(_line(cells) for cells in _rows(results))])


def markdown_differences(results: Sequence[PeerResult]) -> str:
    """Return a list of what is not the same about each, with version and date."""
    lines = []
    for result in results:
        remark = f" {result.remark[:1].upper()}{result.remark[1:]}." if result.remark else ""
        asked = f" {result.asked} answers at the limits checked, none wrong." if result.asked else ""
        lines.append(f"- **{_titled(result)}**{_when(result)}: {result.difference}{remark}{asked}")
    return "\n".join(lines)


def markdown_losses(results: Sequence[PeerResult]) -> str:
    """Return a list of the measures in which others are better than Tiergate."""
    ours = _ours(results)
    if ours is None:
        return "Tiergate was not measured."
    lines = [f"- **{name}**: {', '.join(better)}" for name, better in _losses(results, ours)]
    return "\n".join(lines) or "In this run, nowhere."


def summary(result: PeerResult) -> str:
    """Return one line for the terminal, printed as soon as a peer is measured."""
    if result.problem:
        return f"{_titled(result)}: {result.problem}"
    return f"{_titled(result)}: repeated {_speed(result.repeated)}, varying {_speed(result.varying)} of the floor"


def _losses(results: Sequence[PeerResult], ours: PeerResult) -> Iterator[tuple[str, list[str]]]:
    for name, value, more in _MEASURES:
        mine = value(ours)
        if not mine:
            continue
        better = []
        for result in results:
            theirs = value(result)
            if result is ours or not theirs:
                continue
            times = theirs / mine if more else mine / theirs
            if times > _NOTICEABLE:
                better.append((times, f"{result.name} {times:,.1f}×"))
        if better:
            yield name, [text for _, text in sorted(better, reverse=True)]


def _rows(results: Sequence[PeerResult]) -> Iterator[list[str]]:
    ours = _ours(results)
    for result in sorted(results, key=lambda result: -(_share(result.varying) or 0)):
        if result.problem:
            yield [_titled(result), result.problem, *[""] * (len(_HEADINGS) - 2)]
            continue
        change = "–" if result.change_ms is None else f"{_duration(result.change_ms)} ({result.change})"
        if result.change_ms is None and result.change:
            change = result.change
        yield [
            _titled(result) + ("" if result.same_work else " (not the same work)"),
            _speed(result.repeated),
            _speed(result.varying),
            _times(_share(result.repeated), _share(ours.repeated) if ours else None),
            _times(_share(result.varying), _share(ours.varying) if ours else None),
            f"{_number(_p99(result.repeated))} / {_number(_p99(result.varying))}",
            _number(result.single_p99_ms),
            _number(result.rss_mb),
            _number(result.start_s),
            change,
        ]


def _ours(results: Sequence[PeerResult]) -> PeerResult | None:
    return next((result for result in results if result.name == _US and not result.problem), None)


def _titled(result: PeerResult) -> str:
    return f"{result.name} {result.version}".rstrip()


def _when(result: PeerResult) -> str:
    """Return when it was measured, and in the race against which commit, if that is known."""
    commit = f" against {result.commit}" if result.commit else ""
    return f", measured {result.date}{commit}" if result.date else ""


def _share(speed: Speed | None) -> float | None:
    return speed.of_floor if speed else None


def _p99(speed: Speed | None) -> float | None:
    return speed.p99_ms if speed else None


def _speed(speed: Speed | None) -> str:
    return f"{speed.rate:,.0f} ({speed.of_floor:.2g})" if speed else "–"


def _times(theirs: float | None, ours: float | None) -> str:
    return f"{theirs / ours:.2g}" if theirs and ours else "–"


def _number(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:,.3g}" if figure < 1_000 else f"{figure:,.0f}"


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:,.0f} ms" if milliseconds < 1_000 else f"{milliseconds / 1_000:,.1f} s"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
