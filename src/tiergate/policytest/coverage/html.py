"""Coverage as one self-contained HTML page: items and features as a grid, and everything that is missing.

All text of authors is escaped. The page needs no scripts, and adapts to dark mode.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from tiergate.policytest.coverage.coverage_result import Mark
from tiergate.policytest.coverage.reports import KINDS, UNCOUNTED, advice, aspect_name, case_name, place_name
from tiergate.policytest.coverage.targets import TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tiergate.policytest.coverage.coverage_result import Coverage, MeasuredTarget

_STYLE: Final = """
:root { color-scheme: light dark; --covered: #2e7d32; --reached: #b26a00; --missed: #c62828; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: Canvas; } td.number { text-align: right; }
.aspect { border-radius: .6rem; color: #fff; display: inline-block; font-size: .8rem; margin: .1rem; padding: 0 .5rem; }
.covered { background: var(--covered); } .reached { background: var(--reached); } .missed { background: var(--missed); }
meter { width: 12rem; } code { font-size: .9em; } .place { opacity: .75; }
"""

_LEGEND: Final = {
    Mark.COVERED: "a case would fail if it changed",
    Mark.REACHED: "a case uses it, but would pass if it changed",
    Mark.MISSED: "no case uses it",
}


def coverage_html(coverage: Coverage) -> str:
    """Return the page, a whole document in UTF-8."""
    parts = [
        "<!DOCTYPE html>\n",
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        "<title>Coverage of entitlement tests</title>\n",
        f"<style>{_STYLE}</style>\n</head>\n<body>\n",
        f"<h1>Coverage of entitlement tests: {coverage.percent} %</h1>\n",
        *_summary(coverage),
        *_missing(coverage),
    ]
    for kind, part in coverage.by_kind.items():
        parts.append(f"<h2>{escape(KINDS[kind].capitalize())}: {part.percent} %</h2>\n")
        parts.extend(_grids(part) if kind is TargetKind.ENTITLEMENT else _table(part.measured))
    parts.append("</body>\n</html>\n")
    return "".join(parts)


def _summary(coverage: Coverage) -> Iterator[str]:
    yield "<table>\n<thead><tr><th>What<th>Covered<th>Of<th>Percent<th></tr></thead>\n<tbody>\n"
    rows = [*((KINDS[kind], part) for kind, part in coverage.by_kind.items()), ("all", coverage)]
    if coverage.uncounted:
        rows.append((UNCOUNTED, coverage.shipped))
    for name, part in rows:
        yield (
            f'<tr><td>{escape(name)}<td class="number">{part.covered:,}<td class="number">{part.total:,}'
            f'<td class="number">{part.percent} %<td><meter max="{part.total}" value="{part.covered}">'
            f"{part.percent} %</meter></tr>\n"
        )
    yield "</tbody>\n</table>\n<p>"
    yield " ".join(f'<span class="aspect {mark}">{mark}</span> {escape(text)}.' for mark, text in _LEGEND.items())
    yield "</p>\n"


def _missing(coverage: Coverage) -> Iterator[str]:
    if not coverage.missing:
        return
    yield f"<h2>Not covered: {len(coverage.missing):,}</h2>\n<table>\n"
    yield "<thead><tr><th>What<th>Says<th>What is not shown<th>Nearest case</tr></thead>\n<tbody>\n"
    for value in coverage.missing:
        yield (
            f"<tr><td><code>{escape(value.target.id)}</code><br>"
            f'<span class="place">{escape(place_name(value.subject.place, value.subject.file))}</span>'
            f"<td>{escape(value.subject.says)}<td>{_badge(value)} {escape(advice(value.target, value.subject))}"
            f"<td>{escape(case_name(value))}</tr>\n"
        )
    yield "</tbody>\n</table>\n"


def _grids(coverage: Coverage) -> Iterator[str]:
    """Yield a grid for each file of a catalog: item versions in rows, features in columns."""
    files: dict[str, list[MeasuredTarget]] = {}
    for it in coverage.measured:
        files.setdefault(it.subject.file, []).append(it)
    for file, listed in files.items():
        cells: dict[tuple[str, str], list[MeasuredTarget]] = {}
        for it in listed:
            feature = it.subject.feature.id if it.subject.feature is not None else ""
            cells.setdefault((it.subject.item, feature), []).append(it)
        features = sorted({feature for _, feature in cells})
        yield f'<h3>{escape(file)}</h3>\n<div class="wide">\n<table>\n<thead><tr><th>Item'
        yield "".join(f"<th>{escape(feature)}" for feature in features) + "</tr></thead>\n<tbody>\n"
        for item in dict.fromkeys(item for item, _ in cells):
            yield f"<tr><th>{escape(item)}"
            yield from (f"<td>{_cell(cells.get((item, feature), ()))}" for feature in features)
            yield "</tr>\n"
        yield "</tbody>\n</table>\n</div>\n"


def _cell(targets: Sequence[MeasuredTarget]) -> str:
    says = f"{escape(targets[0].subject.says)}<br>" if targets else ""
    return says + "".join(map(_badge, targets))


def _table(measured: Iterable[MeasuredTarget]) -> Iterator[str]:
    names: dict[tuple[str, str], list[MeasuredTarget]] = {}
    for entry in measured:
        names.setdefault((entry.subject.file, entry.target.id), []).append(entry)
    yield "<table>\n<tbody>\n"
    for (file, name), targets in names.items():
        yield (
            f'<tr><td><code>{escape(name)}</code><td class="place">{escape(file or "shipped")}'
            f"<td>{''.join(map(_badge, targets))}</tr>\n"
        )
    yield "</tbody>\n</table>\n"


def _badge(measured: MeasuredTarget) -> str:
    title = case_name(measured) or "no case"
    return f'<span class="aspect {measured.mark}" title="{escape(title)}">{escape(aspect_name(measured.target))}</span>'
