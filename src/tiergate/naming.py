"""The only place that builds identifiers which cross a boundary.

Ids, entity UIDs, policy ids, revisions, the paths of files in a bundle; and the likely id behind a near miss.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ID",
    "ID_RULE",
    "content_hash",
    "feed_next",
    "feed_start",
    "is_id",
    "item_entities_path",
    "item_policies_path",
    "item_ref",
    "item_uid",
    "nearest",
    "policy_id",
    "revision",
    "rule_entities_path",
    "rule_id",
    "rule_policies_path",
    "search_key",
    "statement_type",
    "version_ref",
]

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What every id looks like (design, section 1)."""

ID_RULE = "must be 1 to 100 letters, digits, `.`, `_` or `-`, the first a letter or digit"

_NEIGHBOURS = 50


def is_id(text: str) -> bool:
    """Say whether `text` is a valid id."""
    return ID.fullmatch(text) is not None


@lru_cache(maxsize=16_384)
def item_ref(kind: str, item: str) -> str:
    """`plan/pro`: an item with its kind."""
    return f"{kind}/{item}"


@lru_cache(maxsize=16_384)
def version_ref(kind: str, item: str, version: int) -> str:
    """`plan/pro@7`: one version of an item."""
    return f"{kind}/{item}@{version}"


def policy_id(version: str, feature: str) -> str:
    """`plan/pro@7/seats`: the permit that an item version gives for a feature."""
    return f"{version}/{feature}"


def rule_id(file: str, rule: str) -> str:
    """`rule/<file>/<id>`: a rule of the users' own; `file` without its ending."""
    return f"rule/{file}/{rule}"


def item_uid(ref: str) -> dict[str, str]:
    """The Cedar UID of `plan/pro` or `plan/pro@7`, as JSON."""
    return {"type": "Item", "id": ref}


def content_hash(content: bytes) -> str:
    """`sha256:<hex>` of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def feed_start(store: str) -> bytes:
    """The chain before the first line of a store's feed: it depends on the store, so that no two feeds are alike."""
    return hashlib.sha256(b"tiergate-feed\0" + store.encode()).digest()


def feed_next(chain: bytes, digest: bytes) -> bytes:
    """The chain after one more line, of which `digest` is the SHA-256."""
    return hashlib.sha256(chain + digest).digest()


def revision(manifest: bytes) -> str:
    """The revision of a bundle: the hash of its canonical manifest without the revision."""
    return content_hash(manifest)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant by `word`, if one is near.

    Comparing is slow (40 µs a word), so of many words only those are looked at that begin or end most alike.
    """
    words = sorted(known)
    if len(words) > 4 * _NEIGHBOURS:
        backwards = sorted(other[::-1] for other in words)
        alike = {*_around(word, words), *(other[::-1] for other in _around(word[::-1], backwards))}
        words = sorted(alike)
    matches = difflib.get_close_matches(word, words, n=1, cutoff=0.7)
    return matches[0] if matches else None


def search_key(text: str) -> str:
    """The form in which texts are compared by a search: whatever their case, in any script, however they are encoded.

    Compatibility forms count as equal (NFKC), so `ﬁ` is found by `fi` and full-width letters by plain ones. A text
    contains another where the key of the one contains the key of the other.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _around(word: str, words: Sequence[str]) -> Sequence[str]:
    """Those of sorted words between which `word` stands."""
    place = bisect_left(words, word)
    return words[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS]


def item_policies_path(version: str) -> str:
    """`policies/items/plan/pro@7.cedar`: where a bundle keeps the permits of an item version."""
    return f"policies/items/{version}.cedar"


def item_entities_path(version: str) -> str:
    """`entities/items/plan/pro@7.json`: where a bundle keeps the entitlements of an item version."""
    return f"entities/items/{version}.json"


def rule_policies_path(file: str) -> str:
    """`policies/rules/<file>.cedar`: where a bundle keeps a file of users' rules."""
    return f"policies/rules/{file}.cedar"


def rule_entities_path(file: str) -> str:
    """`entities/rules/<file>.json`: where a bundle keeps a file of users' entities."""
    return f"entities/rules/{file}.json"


def statement_type(kind: str) -> str:
    """`application/vnd.tiergate.head+json`: the type of a signed statement's payload."""
    return f"application/vnd.tiergate.{kind}+json"
