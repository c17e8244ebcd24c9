"""Ids of customers, subscriptions and users as other systems give them: each must work wherever an id stands."""

from __future__ import annotations

OPAQUE = (
    "ann@acme.com",
    "auth0|64af",
    "google-oauth2|103",
    "org:123",
    "_V1StGXR8_Z5jdHi6B-my",
    "-myT_V1StGXR8Z5jdHi6B",
    "U_kgDOBw==",
    "urn:uuid:6fa459ea-ee8a-3ca4-894e-db77e160355e",
    "tenant/42",
    "a%2Fb",
    "a%",
    ".",
    "..",
    "../../etc",
    "?a=b&c",
    "#1",
    "a+b c",
    "a,b;c",
    'quo"te',
    "back\\slash",
    "'; DROP TABLE customer; --",
    "{braces}",
    "*",
    "null",
    "EXT:a",
    "plan/pro@7",
    "blake2b:0123",
    "\N{LATIN CAPITAL LETTER A WITH DIAERESIS}rger",
    "\N{LATIN CAPITAL LETTER L WITH STROKE}ukasz",
    "\u05d0\u05d1\u05d2",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\U0001f469\u200d\U0001f680",
    "a" * 256,
    "\U00010348" * 256,
    "".join(chr(0x20000 + 97 * place) for place in range(256)),  # no database can make it shorter
)
"""Valid ids, all in the normal form C."""

SPELLINGS = (
    ("\u00c4rger", "A\u0308rger"),
    ("caf\u00e9", "cafe\u0301"),
    ("\uac00", "\u1100\u1161"),
    ("\u212b".replace("\u212b", "\u00c5"), "\u212b"),
    ("q\u0323\u0307", "q\u0307\u0323"),
)
"""Pairs: an id in the normal form C, and another spelling of the same id."""
