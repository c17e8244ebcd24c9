from __future__ import annotations

import hashlib
import json

import pytest

from tests.signing import NOW, record
from tiergate.errors import TrustError
from tiergate.feed.hash_chain import chain_start, extend_chain, line_digest
from tiergate.feed.lines import (
    OtherChange,
    PublicationChange,
    StatusChange,
    SubjectChange,
    encode_record,
    publication_line,
    read_line,
    status_line,
    subject_line,
)
from tiergate.feed.status_reports import encode_features, encode_reports, read_features
from tiergate.model import FeatureReports, ReportedStatus, Status, StatusAudience

DEGRADED = ReportedStatus(status=Status.DEGRADED, start=NOW)
PARTIAL = ReportedStatus(
    status=Status.PARTIAL, start=NOW - 1, until=NOW + 1, audience=StatusAudience(tags=("eu",), items=("pro",))
)


def test_anybody_can_compute_the_chain() -> None:
    """With SHA-256 and the bytes of the lines."""
    line = subject_line(1, NOW, "acme", encode_record(None))
    start = hashlib.sha256(b"tiergate-feed\0shop").digest()
    assert chain_start("shop") == start.hex()
    assert (
        extend_chain(start.hex(), line_digest(line))
        == hashlib.sha256(start + hashlib.sha256(line).digest()).hexdigest()
    )


def test_lines_survive_being_written_and_read() -> None:
    """A change, a deletion, a publication."""
    assert read_line(subject_line(3, NOW, "acme", encode_record(record("acme")))) == SubjectChange(
        3, NOW, "acme", record("acme")
    )
    assert read_line(subject_line(4, NOW, "acme", encode_record(None))) == SubjectChange(4, NOW, "acme", None)
    assert read_line(publication_line(5, NOW, b'{"a":1}')) == PublicationChange(5, NOW, b'{"a":1}')


def test_reports_on_a_status_survive_in_the_order_of_their_starts() -> None:
    """An open one, one with an end and an audience, and none."""
    line = status_line(6, NOW, "reports", encode_reports([DEGRADED, PARTIAL]))
    assert read_line(line) == StatusChange(6, NOW, "reports", (PARTIAL, DEGRADED))
    assert json.loads(line)["reports"][1] == {"status": "degraded", "start": NOW}
    assert read_line(status_line(7, NOW, "reports", encode_reports([]))) == StatusChange(7, NOW, "reports", ())


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        (b'[{"status":"haunted","start":1},{"status":"down","start":2,"by":"x"}]', (2,)),
        (b'[{"status":"down"},7]', ()),
        (b'{"status":"down"}', ()),
    ],
)
def test_a_report_that_cannot_be_read_does_not_stop_the_feed(reports: bytes, expected: tuple[int, ...]) -> None:
    """The others of the feature are read."""
    change = read_line(b'{"position":3,"at":5,"feature":"a","reports":' + reports + b"}")
    assert isinstance(change, StatusChange)
    assert tuple(report.start for report in change.reports) == expected


def test_the_reports_of_a_snapshot_are_in_the_order_of_features() -> None:
    """Features without reports are left out."""
    features = [FeatureReports("b", (DEGRADED,)), FeatureReports("a", (PARTIAL,)), FeatureReports("c", ())]
    assert read_features(encode_features(features)) == (features[1], features[0])
    assert read_features(b'[{"feature":"a"},{"feature":"b","reports":[{"status":"down","start":1}]},9]') == (
        FeatureReports("b", (ReportedStatus(status=Status.DOWN, start=1),)),
    )


def test_a_line_is_as_the_page_on_the_feed_says() -> None:
    """One JSON object, a record as an array, and no newline."""
    line = subject_line(3, NOW, "acme", encode_record(record("acme")))
    assert b"\n" not in line
    assert json.loads(line)["record"][0][0] == "acme"
    assert list(json.loads(line)) == ["position", "at", "customer", "record"]


def test_a_change_that_is_not_known_is_passed_over() -> None:
    """A later version may have more to say; what must be understood, a head says."""
    assert read_line(b'{"position":3,"at":5,"usage":{}}') == OtherChange(3, 5)


def test_fields_that_are_not_known_are_ignored() -> None:
    """In a line of a later version."""
    assert read_line(b'{"position":3,"at":5,"customer":"a","record":null,"by":"x"}') == SubjectChange(3, 5, "a", None)


@pytest.mark.parametrize(
    "line", [b"", b"[]", b'{"position":0,"at":1}', b'{"position":1.5,"at":1}', b"\xff", b'{"at":1}']
)
def test_what_is_no_line_is_refused(line: bytes) -> None:
    """It has a position and a time at the least."""
    with pytest.raises(TrustError, match="malformed"):
        read_line(line)
