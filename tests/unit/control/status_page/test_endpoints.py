"""The public page: what everybody may know, escaped, without anything that is nobody's business."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from base64 import b64encode
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.admin import serving
from tests.stores import put_in_force
from tiergate.admin import public_status
from tiergate.control.api import status
from tiergate.control.status_page import html
from tiergate.control.status_page.endpoints import StatusPage
from tiergate.model import parse_instant
from tiergate.store import SYSTEM, Store
from tiergate.store.tables import FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

ATOM = "{http://www.w3.org/2005/Atom}"
CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: switch, name: "Calls & <video>", tags: [public]}
  - {id: mail, type: switch, tags: [public], suspensions: [{from: 2020-01-01, until: 2030-01-01}]}
  - {id: secret, type: switch}
  - {id: coming, type: switch, status: draft, tags: [public]}
items:
  - {id: gold, kind: plan, entitlements: {calls: true}}
"""
NOTE = 'A </style><script>alert("1")</script> & "more"\nWe look at it.'


class Page(NamedTuple):
    """A reader without credentials, somebody who reports, and the clock."""

    reader: httpx.Client
    reporter: httpx.Client
    clock: list[int]

    def report(self, feature: str, status_: str, **members: object) -> None:
        """Report a status."""
        answer = self.reporter.post("/v1/status/reports", json={"feature": feature, "status": status_} | members)
        assert answer.status_code == 201, answer.text
        self.clock[0] += 60_000

    def json(self) -> dict[str, Any]:
        """The page as JSON."""
        found: dict[str, Any] = self.reader.get("/status.json").json()
        return found


def add_features(store: Store) -> None:
    """Let the features that are published be edited, too."""
    columns = {"type": "switch", "status": "active", "document": "{}", "etag": 1, "created_at": 0, "updated_at": 0}
    rows = [{"id": id_, "name": id_} | columns for id_ in ("calls", "mail", "secret", "coming")]
    store.change(lambda unit: unit.session.connection().execute(FEATURES.insert(), rows), SYSTEM)


@contextmanager
def page(url: str, tag: str | None) -> Iterator[Page]:
    """Serve the page of a store."""
    clock = [parse_instant("2027-01-15T08:00:00Z")]
    store = Store.open(url, clock=lambda: clock[0], migrating=True)
    try:
        put_in_force(store, CATALOG)
        with serving(
            store, [*StatusPage(store, title="Us & <you>", tag=tag).endpoints(), *status.endpoints()]
        ) as admin:
            client = admin.as_("admin")
            add_features(store)
            yield Page(admin.client(), client, clock)
    finally:
        store.close()


@pytest.fixture
def shown(sqlite_url: str) -> Iterator[Page]:
    """A page of the features with the tag `public`."""
    with page(sqlite_url, "public") as made:
        yield made


def test_it_shows_what_is_published_and_nothing_private(shown: Page) -> None:
    """Neither other features, nor drafts, nor who reports, nor whom it concerns, nor notes for those who work here."""
    shown.report("calls", "partial", note="acme is angry", public_note=NOTE, audience={"tags": ["vip"]})
    shown.report("secret", "down", public_note="secret")
    shown.report("coming", "down", public_note="coming")
    found = shown.json()
    assert [(it["name"], it["status"], it.get("suspended")) for it in found["features"]] == [
        ("Calls & <video>", "partial", None),
        ("mail", "operational", True),
    ]
    assert found["status"] == "partial"
    assert [it["note"] for it in found["incidents"]] == [NOTE]
    for path in ("/status", "/status.json", "/status.atom"):
        text = shown.reader.get(path).text
        for word in ("acme", "vip", "secret", "coming", "test/admin", "audience"):
            assert word not in text, (path, word)


def test_incidents_maintenance_and_days_are_those_of_the_last_90_days(shown: Page) -> None:
    """What has ended shows with a public note; what will begin is planned; the bars show each day's worst."""
    shown.report("calls", "down", start="2026-10-01", until="2026-10-02", public_note="too old")
    shown.report("calls", "degraded", start="2027-01-10T23:00:00Z", until="2027-01-11T00:00:00Z", public_note="a day")
    shown.report("calls", "down", start="2027-01-10T10:00:00Z", until="2027-01-10T10:01:00Z")
    shown.report("mail", "maintenance", start="2027-01-20", until="2027-01-21", public_note="we move")
    found = shown.json()
    assert [it["note"] for it in found["incidents"]] == ["a day"]
    assert [it["note"] for it in found["planned"]] == ["we move"]
    assert found["features"][0]["days"] == [{"day": "2027-01-10", "worst": "down"}]
    assert found["features"][0]["status"] == "operational"


def test_what_others_see_takes_no_room_from_what_shows(shown: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts reports on features of the page."""
    monkeypatch.setattr(public_status, "_MOST_INCIDENTS", 1)
    shown.report("calls", "down", start="2027-01-10", until="2027-01-11", public_note="ours")
    shown.report("secret", "down", start="2027-01-12", until="2027-01-13", public_note="theirs")
    assert [it["note"] for it in shown.json()["incidents"]] == ["ours"]


class _Reader(HTMLParser):
    """What a browser sees: elements, and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "link", "path"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "path":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_well_formed_html_without_scripts(shown: Page) -> None:
    """Texts are escaped, nothing is from elsewhere, and the policy allows the page's own style alone."""
    shown.report("calls", "down", public_note=NOTE)
    answer = shown.reader.get("/status")
    reader = _Reader()
    reader.feed(answer.text)
    assert reader.open == []
    assert NOTE in reader.text
    assert "Us & <you>" in reader.text
    assert "Calls & <video>" in reader.text
    assert {"script", "img", "iframe", "form"}.isdisjoint(reader.tags)
    names = {name for name, _ in reader.attributes}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    assert [it for name, it in reader.attributes if name in {"href", "src"} and not str(it).startswith("/status")] == []
    policy = answer.headers["content-security-policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    hashed = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{hashed}'")
    assert re.search(r'aria-label="The last 90 days: Outage on 15 January 2027"', answer.text)


def test_the_feed_is_atom(shown: Page) -> None:
    """Each entry has an id that stays, its dates, and its note, without what no XML can have."""
    shown.report("calls", "down", public_note=f"{NOTE}\ufffe\uffff")
    answer = shown.reader.get("/status.atom")
    assert answer.headers["content-type"].startswith("application/atom+xml")
    feed = ET.fromstring(answer.text)
    (entry,) = feed.findall(f"{ATOM}entry")
    assert entry.findtext(f"{ATOM}title") == "Calls & <video>: Outage"
    assert (entry.findtext(f"{ATOM}content") or "").startswith(f"{NOTE}\nFrom ")
    assert entry.findtext(f"{ATOM}updated") == feed.findtext(f"{ATOM}updated") == "2027-01-15T08:00:00.000Z"
    assert (entry.findtext(f"{ATOM}id") or "").startswith(feed.findtext(f"{ATOM}id") or "nothing")


def test_it_is_made_once_for_all_readers(shown: Page) -> None:
    """What they have already is not sent again; a change shows after some seconds."""
    first = shown.reader.get("/status")
    assert "public" in first.headers["cache-control"]
    again = shown.reader.get("/status", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    now = shown.clock[0]
    shown.report("calls", "down")
    shown.clock[0] = now + 4_999
    assert shown.json()["status"] == "operational"
    shown.clock[0] = now + 5_000
    assert shown.json()["status"] == "down"


def test_all_features_are_shown_without_a_tag(sqlite_url: str) -> None:
    """But drafts."""
    with page(sqlite_url, None) as shown:
        assert [it["id"] for it in shown.json()["features"]] == ["calls", "mail", "secret"]


def test_colours_can_be_read_in_light_and_dark() -> None:
    """Texts have a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    light, dark = re.findall(r":root\{(?:color-scheme:light dark;)?(--back.*?)\}", html.STYLE)
    for theme in (light, dark):
        colours = dict(re.findall(r"--(\w+):(#\w+)", theme))
        back = colours.pop("back")
        colours.pop("line")
        assert len(colours) == 8
        for name, colour in colours.items():
            low, high = sorted((_luminance(colour), _luminance(back)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, colour)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(it * 2 for it in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (it / 12.92 if it <= 0.03928 else ((it + 0.055) / 1.055) ** 2.4 for it in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
