"""The only place that builds identifiers which cross a boundary.

Ids, entity UIDs, policy ids, revisions, the paths of files in a bundle; and the likely id behind a near miss.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""The pattern of all ids of the catalog (design, section 1): features, items, tags, overrides."""

ID_RULE = "must be 1 to 100 letters, digits, `.`, `_` or `-`, the first a letter or digit"

MAX_SUBJECT_ID = 256
"""Largest number of characters of the id of a customer, subscription or user, in the normal form C."""

PROBLEM_TYPE_PREFIX = "urn:tiergate:problem:"
"""The start of every problem type; the slug of the problem follows."""

EXTERNAL_PREFIX = "ext:"
"""The prefix of an external id in place of an id: `ext:stripe:cus_123`."""

SUBJECT_ID_RULE = (
    "must be 1 to 256 characters of any script, without control characters, without white space at either end, "
    "and not begin with `ext:`"
)

# Control characters (Cc), line and paragraph separators, direction marks (the property Bidi_Control), the byte order
# mark, noncharacters: none is a letter of any script, and all are invisible.
_UNSEEN = r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufeff\ufffe\uffff"
_UNSEEN_BEYOND = "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(1, 17))

SUBJECT_ID_PATTERN = rf"^[^\s{_UNSEEN}]([^{_UNSEEN}]*[^\s{_UNSEEN}])?$"
"""The rules on ids of customers, subscriptions and users that JSON Schema can express, besides length and `ext:`."""

_INVISIBLE = re.compile(rf"[{_UNSEEN}{_UNSEEN_BEYOND}\ud800-\udfff]")
_LONGEST_UNCOMPOSED = 4 * MAX_SUBJECT_ID
_NEIGHBOURS = 50
_LONGEST_MISSPELT = 100
_MAX_RESULTS = 1_000


def is_id(text: str) -> bool:
    """Return whether `text` is a valid id of the catalog."""
    return ID.fullmatch(text) is not None


def normalize_subject_id(text: str) -> str:
    """Return the id of a customer, subscription or user in the normal form C, valid or not."""
    if text.isascii() or len(text) > _LONGEST_UNCOMPOSED:
        return text
    return to_nfc(text)


def parse_subject_id(text: str) -> str:
    """Return a valid id of a customer, subscription or user (design, section 1) in the normal form C.

    Raises:
        ValueError: if it is invalid; the message is in lower case and follows the name of the id.
    """
    if ID.fullmatch(text):
        return text
    id_ = normalize_subject_id(text)
    if not id_:
        raise ValueError("must not be empty")
    if len(id_) > MAX_SUBJECT_ID:
        raise ValueError(f"must have at most {MAX_SUBJECT_ID} characters, not {len(id_)}")
    if id_[0].isspace() or id_[-1].isspace():
        raise ValueError("must not begin or end with white space")
    match = _INVISIBLE.search(id_)
    if match:
        raise ValueError(f"must not contain the invisible character U+{ord(match[0]):04X}")
    if id_.startswith(EXTERNAL_PREFIX):
        raise ValueError(f"must not begin with `{EXTERNAL_PREFIX}`, which marks external ids")
    return id_


def is_subject_id(text: str) -> bool:
    """Return whether `text` is a valid id of a customer, subscription or user, in the normal form C."""
    if ID.fullmatch(text):
        return True
    try:
        return parse_subject_id(text) == text
    except ValueError:
        return False


def path_segment(id_: str) -> str:
    """Return an id as one segment of a URL's path: percent-encoded, and never `.` or `..`."""
    if id_ in {".", ".."}:
        return "%2E" * len(id_)
    return quote(id_, safe="")


@lru_cache(maxsize=16_384)
def item_ref(kind: str, item: str) -> str:
    """Return `plan/pro`: an item with its kind."""
    return f"{kind}/{item}"


@lru_cache(maxsize=16_384)
def version_ref(kind: str, item: str, version: int) -> str:
    """Return `plan/pro@7`: one version of an item."""
    return f"{kind}/{item}@{version}"


def policy_id(version: str, feature: str) -> str:
    """Return `plan/pro@7/seats`: the id of the permit of an item version for a feature."""
    return f"{version}/{feature}"


def rule_id(file: str, rule: str) -> str:
    """Return `rule/<file>/<id>`: the id of a user's rule; `file` without its suffix."""
    return f"rule/{file}/{rule}"


def item_uid(ref: str) -> dict[str, str]:
    """Return the Cedar UID of `plan/pro` or `plan/pro@7`, as JSON."""
    return {"type": "Item", "id": ref}


def content_hash(content: bytes) -> str:
    """Return `sha256:<hex>` of `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def revision(manifest: bytes) -> str:
    """The revision of a bundle: the hash of its canonical manifest without the revision."""
    return content_hash(manifest)


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.7) -> str | None:
    """Return the known word that was most likely meant by `word`, if one is at least `cutoff` (0 to 1) like it.

    Comparing takes 40 µs a word, so of many words only those that begin or end most alike are compared. Only the
    first 100 characters of `word` count.
    """
    words = list(known)
    if len(words) > 4 * _NEIGHBOURS:
        return NearestNames(words, _NEIGHBOURS, cutoff).find(word)
    return _closest(word[:_LONGEST_MISSPELT], words, cutoff)


class NearestNames:
    """Finds near misses among many names, without holding up checks: a misspelt name may be sent in every request.

    A name is compared with its neighbours in the order of the names, which begin alike, and in the order of the
    reversed names, which end alike. Nothing is sorted before the first search, and results are remembered.
    """

    def __init__(self, known: Collection[str], neighbours: int = 12, cutoff: float = 0.6) -> None:
        """Prepare a search among `known`; `neighbours`: how many on either side are compared."""
        self._known = known
        self._neighbours = neighbours
        self._cutoff = cutoff
        self._sorted: list[str] = []
        self._sorted_backwards: list[str] = []
        self._results: dict[str, str | None] = {}

    def find(self, name: str) -> str | None:
        """Return the known name that is most like `name`, if one is like enough."""
        name = name[:_LONGEST_MISSPELT]
        if name not in self._results:
            if len(self._results) >= _MAX_RESULTS:
                self._results.clear()
            self._results[name] = _closest(name, self._candidates(name), self._cutoff)
        return self._results[name]

    def _candidates(self, name: str) -> set[str]:
        if not self._sorted:
            self._sorted = sorted(self._known)
            self._sorted_backwards = sorted(known[::-1] for known in self._known)
        backwards = self._around(name[::-1], self._sorted_backwards)
        return {*self._around(name, self._sorted), *(word[::-1] for word in backwards)}

    def _around(self, name: str, words: Sequence[str]) -> Sequence[str]:
        place = bisect_left(words, name)
        return words[max(0, place - self._neighbours) : place + self._neighbours]


def _closest(word: str, words: Iterable[str], cutoff: float) -> str | None:
    matches = difflib.get_close_matches(word, sorted(words), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def item_policies_path(version: str) -> str:
    """Return `policies/items/plan/pro@7.cedar`: the bundle's path of the permits of an item version."""
    return f"policies/items/{version}.cedar"


def item_entities_path(version: str) -> str:
    """Return `entities/items/plan/pro@7.json`: the bundle's path of the entitlements of an item version."""
    return f"entities/items/{version}.json"


def rule_policies_path(file: str) -> str:
    """Return `policies/rules/<file>.cedar`: the bundle's path of a file of users' rules."""
    return f"policies/rules/{file}.cedar"


ACCESS_INDEX = "access.json"
"""The bundle's file of users' own actions: by name, their principals, resources and groups."""

ACCESS_SCHEMA = "access.cedarschema"
"""The bundle's schema with users' own actions, for the rules on them."""


def access_policies_path(file: str) -> str:
    """Return `policies/access/<file>.cedar`: the bundle's path of a file of users' rules on their own actions."""
    return f"policies/access/{file}.cedar"


def rule_entities_path(file: str) -> str:
    """Return `entities/rules/<file>.json`: the bundle's path of a file of users' entities."""
    return f"entities/rules/{file}.json"


def statement_type(kind: str) -> str:
    """`application/vnd.tiergate.head+json`: the type of a signed statement's payload."""
    return f"application/vnd.tiergate.{kind}+json"
