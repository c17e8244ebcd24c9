"""Reports on the status of features, as lines of the feed, snapshots and replicas have them: JSON.

Later versions may write reports that this one cannot read. Those are left out, so that the feed does not stop: a
status grants nothing and takes nothing away, unless a rule reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.model import FeatureReports, ReportedStatus

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Feature(msgspec.Struct):
    feature: str
    reports: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[ReportedStatus, ...]).decode
_decode_report = msgspec.json.Decoder(ReportedStatus).decode
_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_feature = msgspec.json.Decoder(_Feature).decode


def encode_reports(reports: Iterable[ReportedStatus]) -> bytes:
    """Return the JSON of the reports of a feature, in the order of their starts; `[]` if it is operational."""
    return _encode(sorted(reports, key=lambda report: (report.start, report.until, report.status.rank)))


def read_reports(content: bytes | msgspec.Raw) -> tuple[ReportedStatus, ...]:
    """Return the reports in JSON, without those that this version cannot read. Never raises."""
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return tuple(_readable(content))


def encode_features(features: Iterable[FeatureReports]) -> msgspec.Raw:
    """Return the JSON of the reports of several features, as snapshots have them, in the order of the features."""
    return msgspec.Raw(
        _encode(
            [
                _Feature(entry.feature, msgspec.Raw(encode_reports(entry.reports)))
                for entry in sorted(features, key=lambda entry: entry.feature)
                if entry.reports
            ]
        )
    )


def read_features(content: bytes | msgspec.Raw) -> tuple[FeatureReports, ...]:
    """Return the reports of several features, without what this version cannot read. Never raises."""
    features = []
    for raw in _parts(content):
        try:
            entry = _decode_feature(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        reports = read_reports(entry.reports)
        if reports:
            features.append(FeatureReports(entry.feature, reports))
    return tuple(features)


def _readable(content: bytes | msgspec.Raw) -> Iterable[ReportedStatus]:
    for raw in _parts(content):
        try:
            yield _decode_report(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue


def _parts(content: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return _decode_raw(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
