"""The public keys of a token issuer: a JWKS (RFC 7517) from a URL or a file, cached.

Keys are fetched again when they are an hour old, and at once if a token names an unknown key or no key verifies it,
because a key may be replaced under its name; but at most once a minute, because anybody can send such tokens. While the
issuer is unreachable, the previous keys stay valid, for at most a day: a withdrawn key must not count forever.

Raises `JwksError` if the keys cannot be fetched and no previous ones are valid. A source that is not https is a
`SettingsError`.
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
from tiergate.http.loopback import is_loopback
from tiergate.process.request_deadline import enforce_deadlines, request_deadline

if TYPE_CHECKING:
    from collections.abc import Callable

REFRESH_AFTER: Final = 3600.0
"""Seconds after which keys are fetched again."""
MAX_AGE: Final = 86_400.0
"""Seconds after which keys that could not be fetched again are invalid."""
RETRY_AFTER: Final = 60.0
"""Seconds between two attempts to fetch."""

_STEP_TIMEOUT: Final = 5.0
_TOTAL_TIMEOUT: Final = 10.0
_MAX_BYTES: Final = 2**20
_MAX_KEYS: Final = 100
_MAX_CANDIDATES: Final = 10
"""Keys that one token is verified with: anybody can make us verify so many signatures."""

_KEY_TYPES: Final = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("Ed",)}
"""The beginnings of the algorithms that keys of a type sign with."""

_log = structlog.get_logger(__name__)


class JwksError(OperatorError):
    """The keys of an issuer are not available."""


class CandidateKeys(NamedTuple):
    """Keys that may have signed a token, and the generation of the issuer's keys that they belong to."""

    keys: tuple[jwt.PyJWK, ...]
    issuer: IssuerKeys
    generation: int

    @property
    def is_current(self) -> bool:
        """Whether the issuer still has these keys."""
        return self.issuer.is_current(self.generation)


class IssuerKeys:
    """The keys of one issuer. Safe to use from several threads; one of them fetches while the others wait.

    `source`: an https URL (http on loopback) or the path of a file. `ca_file`: CA certificates that verify the server;
    `token_file`: a bearer token for the request, read every time; both as a Kubernetes API server needs them. `clock`:
    monotonic seconds.
    """

    def __init__(
        self,
        source: str,
        *,
        ca_file: str | None = None,
        token_file: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Fetch nothing yet."""
        parts = urlsplit(source)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise SettingsError(
                "issuers", f"`{source}` must be https: anybody who can change the keys can act as any caller"
            )
        self._is_url = parts.scheme in {"http", "https"}
        self._source, self._ca_file, self._token_file, self._clock = source, ca_file, token_file, clock
        self._lock = threading.Lock()
        self._keys: list[jwt.PyJWK] = []
        self._content = b""
        self.generation = 0
        """How often the keys have changed."""
        self._fetched_at: float | None = None
        self._tried_at: float | None = None

    def find(self, kid: str | None, algorithm: str) -> CandidateKeys:
        """Return the keys that may have signed a token of this algorithm with this key id.

        Those with the id, otherwise those without an id; all that fit if the token names no id.
        """
        with self._lock:
            if not self._is_fresh() or not self._select(kid, algorithm):
                self._fetch_if_due()
            return self._candidates(kid, algorithm)

    def find_others(self, kid: str | None, algorithm: str, tried: CandidateKeys) -> CandidateKeys:
        """Fetch the keys again if none of `tried` verified a token, and return the ones that were not tried."""
        with self._lock:
            if tried.generation == self.generation:
                self._fetch_if_due()
            candidates = self._candidates(kid, algorithm)
        known = [key.key for key in tried.keys]
        return candidates._replace(keys=tuple(key for key in candidates.keys if key.key not in known))

    def refresh(self) -> None:
        """Fetch the keys again if they are in use and old."""
        if self._fetched_at is not None and not self._is_fresh():
            with self._lock:
                self._fetch_if_due()

    def is_current(self, generation: int) -> bool:
        """Return whether the keys of a generation are still in use and valid."""
        return generation == self.generation and self._age() <= MAX_AGE

    def _candidates(self, kid: str | None, algorithm: str) -> CandidateKeys:
        if self._age() > MAX_AGE:
            raise JwksError(f"cannot fetch the keys at `{self._source}`")
        return CandidateKeys(tuple(self._select(kid, algorithm)), self, self.generation)

    def _select(self, kid: str | None, algorithm: str) -> list[jwt.PyJWK]:
        named = [key for key in self._keys if key.key_id == kid] if kid is not None else []
        others = self._keys if kid is None else [key for key in self._keys if key.key_id is None]
        fitting = [key for key in named or others if algorithm.startswith(_KEY_TYPES.get(str(key.key_type), ()))]
        return fitting[:_MAX_CANDIDATES]

    def _age(self) -> float:
        fetched_at = self._fetched_at
        return float("inf") if fetched_at is None else self._clock() - fetched_at

    def _is_fresh(self) -> bool:
        return self._age() < REFRESH_AFTER

    def _fetch_if_due(self) -> None:
        now = self._clock()
        if self._tried_at is not None and now - self._tried_at < RETRY_AFTER:
            return
        self._tried_at = now
        try:
            content = self._download() if self._is_url else _limited(Path(self._source).read_bytes())
            keys = _parse(content)
        except (OSError, ValueError, httpx.HTTPError, jwt.PyJWTError) as error:
            _log.warning("cannot fetch the keys of an issuer", source=self._source, error=str(error))
            return
        if content != self._content:
            self._keys, self._content = keys, content
            self.generation += 1
        self._fetched_at = now

    def _download(self) -> bytes:
        headers = {"accept": "application/jwk-set+json, application/json"}  # Kubernetes accepts only the first
        if self._token_file is not None:
            headers["authorization"] = f"Bearer {Path(self._token_file).read_text('ascii').strip()}"
        verify = ssl.create_default_context(cafile=self._ca_file)
        is_remote = not is_loopback(urlsplit(self._source).hostname or "")
        # Through the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`), but not to this machine itself.
        client = httpx.Client(verify=verify, timeout=_STEP_TIMEOUT, follow_redirects=False, trust_env=is_remote)
        with (
            request_deadline(_TOTAL_TIMEOUT),
            enforce_deadlines(client),
            client.stream("GET", self._source, headers=headers) as response,
        ):
            response.raise_for_status()
            content = b""
            for part in response.iter_bytes():
                content = _limited(content + part)
        return content


def _limited(content: bytes) -> bytes:
    if len(content) > _MAX_BYTES:
        raise ValueError(f"the JWKS has more than {_MAX_BYTES} bytes")
    return content


def _parse(content: bytes) -> list[jwt.PyJWK]:
    """Read the keys that verify signatures. Keys of unknown types are ignored, as are shared secrets (`oct`)."""
    document = json.loads(content)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise ValueError("is not a JWKS")
    usable = [it for it in entries if isinstance(it, dict) and it.get("use", "sig") == "sig" and it.get("kty") != "oct"]
    return list(jwt.PyJWKSet(usable).keys)
