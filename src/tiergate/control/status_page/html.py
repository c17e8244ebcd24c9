"""The public page as HTML: one document without scripts, images or anything from elsewhere.

It is read by machines that read aloud and on phones, and in light and dark: a status is a word, never a colour alone;
the history is a picture with its content in words.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING, Final

from tiergate.admin.public_status import DAYS
from tiergate.control.status_page.words import (
    NAMES,
    SUMMARIES,
    day_text,
    status_of,
    time_text,
    title_of,
    to_minute,
)
from tiergate.model import format_instant
from tiergate.status.shown import ShownStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.admin.public_status import PublicFeature, PublicReport, PublicStatus
    from tiergate.model import Instant

_DAY: Final = 86_400_000
_MOST_WORDS: Final = 10
_HEIGHTS: Final = {
    ShownStatus.MAINTENANCE: 8,
    ShownStatus.UNKNOWN: 8,
    ShownStatus.DEGRADED: 12,
    ShownStatus.PARTIAL: 16,
    ShownStatus.DOWN: 20,
}
_TOPS: Final = {status: f"{20 - height}h.8V20h-.8z" for status, height in _HEIGHTS.items()}
"""The rest of a bar, as a path, after the number of its day."""

STYLE: Final = """\
:root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--soft:#57606a;--line:#d0d7de;--operational:#1a7f37;\
--maintenance:#0a58ca;--unknown:#5c5f66;--degraded:#8a5a00;--partial:#b3450e;--down:#b42318}
@media (prefers-color-scheme:dark){:root{--back:#0d1117;--text:#e6edf3;--soft:#9da7b3;--line:#30363d;\
--operational:#4cc46a;--maintenance:#79b8ff;--unknown:#a8afb8;--degraded:#e3b341;--partial:#ff9e64;--down:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:52rem;padding:1rem;background:var(--back);color:var(--text);\
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.75rem;margin:1rem 0 .5rem}
h2{font-size:1.25rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:0}
p{margin:.25rem 0}
ul{list-style:none;margin:0;padding:0}
li{border-top:1px solid var(--line);padding:.75rem 0}
.now{font-size:1.25rem;font-weight:600}
.head{display:flex;flex-wrap:wrap;align-items:baseline;gap:0 1rem;justify-content:space-between}
.soft,footer{color:var(--soft)}
.note{white-space:pre-line}
.operational{color:var(--operational)}
.maintenance{color:var(--maintenance)}
.unknown{color:var(--unknown)}
.degraded{color:var(--degraded)}
.partial{color:var(--partial)}
.down,.suspended{color:var(--down)}
svg{display:block;width:100%;height:1.25rem;margin-top:.25rem}
path{fill:currentColor}
a{color:inherit}
"""
"""The style, in light and dark."""

POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy: nothing but the style of the page itself."""


def render_html(status: PublicStatus, title: str) -> bytes:
    """Write the page."""
    made = to_minute(status.at)
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        f"<title>{escape(title)}: {SUMMARIES[status.worst]}</title>\n",
        '<link rel="alternate" type="application/atom+xml" title="Incidents" href="/status.atom">\n',
        '<link rel="alternate" type="application/json" href="/status.json">\n',
        f"<style>{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{escape(title)}</h1>\n",
        f'<p class="now {status.worst.value}">{SUMMARIES[status.worst]}</p>\n</header>\n<main>\n',
        *_section("Planned", [_report(it, status.at) for it in status.planned]),
        *_section("Open now", [_report(it, status.at) for it in status.incidents if not _has_ended(it, status.at)]),
        *_section("Features", list(_features(status))),
        *_section("Past", [_report(it, status.at) for it in status.incidents if _has_ended(it, status.at)]),
        f"</main>\n<footer>\n<p>As of {_time(made)}. ",
        f"The bars show the last {DAYS} days, the latest at the right.</p>\n",
        '<p><a href="/status.atom">Atom feed</a> · <a href="/status.json">JSON</a></p>\n</footer>\n</body>\n</html>\n',
    ]
    return "".join(parts).encode()


def _section(title: str, entries: Sequence[str]) -> Iterator[str]:
    if entries:
        yield f"<section>\n<h2>{title}</h2>\n<ul>\n"
        yield from entries
        yield "</ul>\n</section>\n"


def _features(status: PublicStatus) -> Iterator[str]:
    days = [day_text(status.first_day + day * _DAY) for day in range(DAYS)]
    for feature in status.features:
        kind = "suspended" if feature.suspended else feature.status.value
        since = ""
        if feature.since is not None and not feature.suspended:
            since = f' <span class="soft">since {_time(feature.since)}</span>'
        yield (
            f'<li><div class="head"><h3>{escape(feature.name)}</h3><p class="{kind}">{status_of(feature)}{since}</p>'
            f"</div>{_bars(feature, days)}</li>\n"
        )


def _bars(feature: PublicFeature, days: Sequence[str]) -> str:
    """Draw the history: a line, and a bar for each day on which something was reported, in a path for each status."""
    paths: dict[ShownStatus, str] = {}
    for day, worst in feature.days.items():
        paths[worst] = f"{paths.get(worst, '')}M{day} {_TOPS[worst]}"
    bars = "".join(f'<path class="{worst.value}" d="{path}"/>' for worst, path in paths.items())
    words = _history(feature, days)
    return (
        f'<svg role="img" viewBox="0 0 {DAYS} 20" preserveAspectRatio="none" aria-label="{words}">'
        f'<path class="operational" d="M0 16h{DAYS}v4H0z"/>{bars}</svg>'
    )


def _history(feature: PublicFeature, days: Sequence[str]) -> str:
    """Say in words what the bars show, the latest first."""
    if not feature.days:
        return f"The last {DAYS} days: nothing reported"
    found = sorted(feature.days, reverse=True)
    words = [f"{NAMES[feature.days[day]]} on {days[day]}" for day in found[:_MOST_WORDS]]
    more = f", and on {len(found) - _MOST_WORDS} more" if len(found) > _MOST_WORDS else ""
    return f"The last {DAYS} days: {', '.join(words)}{more}"


def _report(report: PublicReport, now: Instant) -> str:
    note = f'<p class="note">{escape(report.note)}</p>' if report.note else ""
    times = f"From {_time(report.start)}"
    if report.until is not None:
        times += f" until {_time(report.until)}"
    elif report.start <= now:
        times = f"Since {_time(report.start)}"
    return (
        f'<li><h3 class="{report.status.value}">{escape(title_of(report))}</h3>{note}<p class="soft">{times}</p></li>\n'
    )


def _has_ended(report: PublicReport, now: Instant) -> bool:
    return report.until is not None and report.until <= now


def _time(instant: Instant) -> str:
    return f'<time datetime="{format_instant(instant)}">{time_text(instant)}</time>'
