"""The public keys of those who issue tokens: a JWKS (RFC 7517) from a file or a URL, kept for a while.

Keys are fetched anew when they are an hour old, and at once where a token names one that is not known, or is signed by
none that is, for a key may be replaced under its name; but that at most once a minute, since anybody can name anything.
Where fetching fails the keys of before serve on, for a day at most: what an issuer withdraws does not count for ever.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import httpx
import jwt
import structlog

from tiergate.errors import OperatorError, SettingsError
from tiergate.process.request_deadline import enforce_deadlines, request_deadline

if TYPE_CHECKING:
    from collections.abc import Callable

FRESH_FOR: Final = 3600.0
"""Seconds after which keys are fetched anew."""
KEPT_FOR: Final = 86_400.0
"""Seconds for which keys serve without being fetched anew."""
ASK_AGAIN_AFTER: Final = 60.0
"""Seconds between two attempts to fetch."""

_TIMEOUT: Final = 5.0
_WHOLE: Final = 10.0
_MAX_BYTES: Final = 2**20
_MAX_KEYS: Final = 100
_MOST_TRIED: Final = 10
"""Keys that one token is tried with: whoever sends any token has so many signatures verified."""

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_log = structlog.get_logger(__name__)


class JwksError(OperatorError):
    """The keys of an issuer cannot be had."""


class CandidateKeys(NamedTuple):
    """Keys that may have signed a token, and of which generation of which set they are."""

    keys: tuple[jwt.PyJWK, ...]
    of: IssuerKeys
    generation: int

    @property
    def is_current(self) -> bool:
        """Whether the issuer's keys are still these."""
        return self.of.serves(self.generation)


class IssuerKeys:
    """One issuer's keys. Safe to ask from several threads; one of them fetches, the others wait for it.

    `source`: an https URL (http on loopback), or a file's path. `ca_file`: whom to trust for the URL, `token_file`: a
    bearer token to fetch with, read every time, both as a Kubernetes API server wants it. `clock`: seconds that only
    go forward.
    """

    def __init__(
        self,
        source: str,
        *,
        ca_file: str | None = None,
        token_file: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is fetched yet.

        Raises:
            SettingsError: the source is a URL that is not https.
        """
        parts = urlsplit(source)
        self._is_url = parts.scheme in {"http", "https"}
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise SettingsError("issuers", f"`{source}` must be https: whoever can change the keys can be anybody")
        self._source = source
        self._ca_file = ca_file
        self._token_file = token_file
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: list[jwt.PyJWK] = []
        self._content = b""
        self.generation = 0
        """How often the issuer's keys were others than before."""
        self._fetched_at: float | None = None
        self._asked_at: float | None = None

    def find(self, kid: str | None, algorithm: str) -> CandidateKeys:
        """The keys that may have signed a token of this algorithm, by the id that it names.

        Those of the id, else those without any; all that fit where the token names none. None where no key fits.

        Raises:
            JwksError: the keys cannot be fetched, and there are none from before that still count.
        """
        with self._lock:
            if not self._is_fresh() or not self._pick(kid, algorithm):
                self._refresh()
            return self._found(kid, algorithm)

    def find_anew(self, kid: str | None, algorithm: str, tried: CandidateKeys) -> CandidateKeys:
        """As `find`, where none of the keys that were `tried` had signed: the issuer may have others by now.

        It is asked at most once a minute, since anybody can sign with anything. What was tried is left out.

        Raises:
            JwksError: as `find`.
        """
        with self._lock:
            if tried.generation == self.generation:
                self._refresh()
            found = self._found(kid, algorithm)
        known = [key.key for key in tried.keys]
        return found._replace(keys=tuple(it for it in found.keys if it.key not in known))

    def refresh(self) -> None:
        """Fetch the keys anew, if they are in use and old."""
        if self._fetched_at is not None and not self._is_fresh():
            with self._lock:
                self._refresh()

    def serves(self, generation: int) -> bool:
        """Say whether the keys of a generation are still those in use, and were fetched not too long ago."""
        fetched_at = self._fetched_at
        return generation == self.generation and fetched_at is not None and self._clock() - fetched_at <= KEPT_FOR

    def _found(self, kid: str | None, algorithm: str) -> CandidateKeys:
        if self._fetched_at is None or self._clock() - self._fetched_at > KEPT_FOR:
            raise JwksError(f"the keys at `{self._source}` cannot be fetched")
        return CandidateKeys(tuple(self._pick(kid, algorithm)), self, self.generation)

    def _pick(self, kid: str | None, algorithm: str) -> list[jwt.PyJWK]:
        named = [key for key in self._keys if key.key_id == kid] if kid is not None else []
        others = self._keys if kid is None else [key for key in self._keys if key.key_id is None]
        return [key for key in named or others if _fits(key, algorithm)][:_MOST_TRIED]

    def _is_fresh(self) -> bool:
        return self._fetched_at is not None and self._clock() - self._fetched_at < FRESH_FOR

    def _refresh(self) -> None:
        now = self._clock()
        if self._asked_at is not None and now - self._asked_at < ASK_AGAIN_AFTER:
            return
        self._asked_at = now
        try:
            content = self._fetch()
            keys = _read(content)
        except (OSError, ValueError, httpx.HTTPError, jwt.PyJWTError) as error:
            _log.warning("the keys of an issuer cannot be fetched", source=self._source, error=str(error))
            return
        if content != self._content:
            self._keys, self._content = keys, content
            self.generation += 1
        self._fetched_at = now

    def _fetch(self) -> bytes:
        if not self._is_url:
            content = Path(self._source).read_bytes()
            if len(content) > _MAX_BYTES:
                raise ValueError("the file is too large")
            return content
        headers = {"accept": "application/jwk-set+json, application/json"}  # Kubernetes gives the first alone
        if self._token_file is not None:
            headers["authorization"] = f"Bearer {Path(self._token_file).read_text('ascii').strip()}"
        verify = ssl.create_default_context(cafile=self._ca_file)
        with (
            request_deadline(_WHOLE),
            enforce_deadlines(
                httpx.Client(verify=verify, timeout=_TIMEOUT, follow_redirects=False, trust_env=False)
            ) as client,
            client.stream("GET", self._source, headers=headers) as answer,
        ):
            answer.raise_for_status()
            content = b""
            for part in answer.iter_bytes():
                content += part
                if len(content) > _MAX_BYTES:
                    raise ValueError("the answer is too large")
        return content


def _fits(key: jwt.PyJWK, algorithm: str) -> bool:
    """Say whether a key of this kind signs by this algorithm."""
    kinds = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("Ed",)}
    return algorithm.startswith(kinds.get(str(key.key_type), ()))


def _read(content: bytes) -> list[jwt.PyJWK]:
    """The keys for verifying signatures; those of kinds that nobody here knows are left out."""
    document = json.loads(content)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise ValueError("is no JWKS")
    found: list[jwt.PyJWK] = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
            continue  # a secret that both sides know is none: whoever could read this could sign
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError:
            continue
        found.append(key)
    if not found:
        raise ValueError("has no key that can be used")
    return found
