"""The answer of the floor: constant bytes, those of a sidecar's answer to the repeated question."""

from __future__ import annotations

_BODY = (
    b'{"allowed":true,"reason":"granted","feature":"f1","type":"quantity","entitlement":{"value":822896261,'
    b'"unlimited":false,"unit":"things","used":5,"remaining":822896256},"sources":[{"item":"plan/p12","version":1,'
    b'"quantity":1,"subscription":"s1","value":822896261}],"policies":["plan/p12@1/f1"],"publication":1,'
    b'"revision":"sha256:ba030be8c0348d65e0c0665265ba6a0ff30acc11e0d27164820b6d2cf081b9e4","stale":false}'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 30 Nov 2026 04:38:06 GMT\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\ntiergate-decision-id: eb2dca3fe50000000001\r\n\r\n%b" % (len(_BODY), _BODY)
)
