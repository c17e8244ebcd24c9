"""The public page for programs: JSON, and an Atom feed (RFC 4287) of what happened and what is planned."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from xml.sax import saxutils
from xml.sax.saxutils import quoteattr

from tiergate.control.status_page.words import NAMES, time_text, title_of, to_minute
from tiergate.model import format_instant
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.admin.public_status import PublicReport, PublicStatus

_DAY: Final = 86_400_000
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_json(status: PublicStatus, title: str) -> bytes:
    """Write the page as JSON. Days without a report are left out."""
    features = []
    for feature in status.features:
        entry: dict[str, Any] = {"id": feature.id, "name": feature.name, "status": feature.status.value}
        if feature.suspended:
            entry["suspended"] = True
        if feature.since is not None:
            entry["since"] = format_instant(feature.since)
        entry["days"] = [
            {"day": format_instant(status.first_day + day * _DAY)[:10], "worst": worst.value}
            for day, worst in sorted(feature.days.items())
        ]
        features.append(entry)
    return encode(
        {
            "title": title,
            "at": format_instant(to_minute(status.at)),
            "status": status.worst.value,
            "features": features,
            "incidents": [_report(it) for it in status.incidents],
            "planned": [_report(it) for it in status.planned],
        }
    )


def _report(report: PublicReport) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": report.id,
        "feature": report.feature,
        "status": report.status.value,
        "start": format_instant(report.start),
    }
    if report.until is not None:
        data["until"] = format_instant(report.until)
    if report.note:
        data["note"] = report.note
    return data | {"updated_at": format_instant(report.updated_at)}


def render_atom(status: PublicStatus, title: str, store: str) -> bytes:
    """Write the feed; `store`: the id of the store, which makes ids of entries unique."""
    reports = sorted((*status.planned, *status.incidents), key=lambda it: (-it.updated_at, it.id))
    updated = max((it.updated_at for it in reports), default=status.first_day)
    name = f"urn:tiergate:{store}:status"
    parts = [
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en">\n',
        f"<id>{escape(name)}</id>\n<title>{escape(title)}</title>\n<updated>{format_instant(updated)}</updated>\n",
        f'<author><name>{escape(title)}</name></author>\n<link rel="alternate" type="text/html" href="/status"/>\n',
        '<link rel="self" type="application/atom+xml" href="/status.atom"/>\n',
        *(part for report in reports for part in _entry(report, name)),
        "</feed>\n",
    ]
    return "".join(parts).encode()


def _entry(report: PublicReport, name: str) -> Iterator[str]:
    times = f"From {time_text(report.start)}"
    if report.until is not None:
        times += f" until {time_text(report.until)}"
    text = f"{report.note}\n{times}" if report.note else times
    yield f"<entry>\n<id>{escape(f'{name}:{report.id}')}</id>\n<title>{escape(title_of(report))}</title>\n"
    yield f"<updated>{format_instant(report.updated_at)}</updated>\n"
    yield f"<published>{format_instant(report.start)}</published>\n"
    yield f"<category term={quoteattr(report.status.value)} label={quoteattr(NAMES[report.status])}/>\n"
    yield '<link rel="alternate" type="text/html" href="/status"/>\n'
    yield f'<content type="text">{escape(text)}</content>\n</entry>\n'


def escape(text: str) -> str:
    """Return a text as XML, without what no XML can have: one such character would make the feed unreadable."""
    return saxutils.escape(_NOT_XML.sub("", text))
