"""Authentication: an API key or a token of a trusted issuer becomes a `Caller`.

Tokens of people (OpenID Connect) and of workloads (projected Kubernetes service account tokens) are verified by the
same code; settings say which issuer, for which audience, and which claims give roles. An invalid token is rejected,
whatever else the request has.

INVARIANT (public keys alone): only signatures of asymmetric algorithms count, each verified with a key of the issuer
that the token names. Neither `none` nor a secret made of a public key is accepted.

Invalid credentials are a `RequestError` 401. If the issuer's keys are not available, it is a `JwksError`; if the store
cannot be read, a `StoreError`. Invalid settings of issuers are a `SettingsError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt
import msgspec
import structlog
import yaml

from tiergate.control.auth.jwks import IssuerKeys
from tiergate.errors import RequestError, SettingsError
from tiergate.model import FOREVER
from tiergate.permissions import Caller, CallerKind, Scope
from tiergate.store.key_uses import KeyUses
from tiergate.store.keys import authenticate_key, is_key, key_id_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tiergate.control.auth.jwks import CandidateKeys
    from tiergate.model import Instant
    from tiergate.store import Store
    from tiergate.store.keys import ApiKey

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Algorithms that an issuer may sign with."""

_MAX_TOKEN: Final = 16_384
_MAX_LEEWAY: Final = 300
_RESERVED: Final = frozenset({"key", "system", "anonymous"})
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_ANY: Final = "*"

_log = structlog.get_logger(__name__)


class IssuerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A trusted issuer of tokens.

    `name`: prefix of the ids of its callers, as in `okta/00u1`. `jwks`: its public keys, a URL or a file. People:
    `roles` maps the texts in `roles_claim` (a path with dots, such as `realm_access.roles`) to roles; other texts count
    for nothing. Workloads: `subjects` maps whole subjects, such as `system:serviceaccount:shop:tiergate-sidecar`, to
    roles. `leeway`: seconds by which clocks may differ.
    """

    name: str
    issuer: str
    audience: str
    jwks: str
    ca_file: str | None = None
    token_file: str | None = None
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    roles_claim: str = "roles"
    roles: dict[str, tuple[str, ...]] = {}
    subjects: dict[str, tuple[str, ...]] = {}
    leeway: int = 30

    def __post_init__(self) -> None:
        """Validate the settings."""
        unknown = [name for name in self.algorithms if name not in ALGORITHMS]
        if unknown or not self.algorithms:
            raise ValueError(f"`algorithms` must be some of {', '.join(ALGORITHMS)}")
        if not self.name or "/" in self.name or self.name in _RESERVED:
            raise ValueError(f"`name` must be a word, and none of {', '.join(sorted(_RESERVED))}")
        if not self.issuer or not self.audience:
            raise ValueError("`issuer` and `audience` must not be empty: a token for others is not for us")
        if not 0 <= self.leeway <= _MAX_LEEWAY:
            raise ValueError(f"`leeway` must be 0 to {_MAX_LEEWAY} seconds")
        if bool(self.roles) == bool(self.subjects):
            raise ValueError("exactly one of `roles` and `subjects` must give roles")
        for subject in self.subjects:
            if not {*subject.split(":")} - {_ANY}:
                raise ValueError(f"`subjects` has `{subject}`, which matches anybody")


def read_issuers(text: str) -> list[IssuerSettings]:
    """Read the settings of issuers: YAML or JSON, `{"issuers": [ … ]}`."""
    try:
        document = yaml.safe_load(text)
        settings = msgspec.convert(document, dict[str, list[IssuerSettings]])
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise SettingsError("issuers", str(error)) from None
    if {*settings} != {"issuers"}:
        raise SettingsError("issuers", "the file must have only the key `issuers`")
    issuers = settings["issuers"]
    for what in ("name", "issuer"):
        if len({getattr(issuer, what) for issuer in issuers}) < len(issuers):
            raise SettingsError("issuers", f"two issuers have the same `{what}`")
    return issuers


@dataclass(frozen=True, slots=True)
class AuthenticatedCaller:
    """A caller, and until when its credentials are valid, in UTC milliseconds.

    `key`: its API key, which may be revoked; `source`: the issuer's keys that verified its token.
    """

    caller: Caller
    until: Instant
    key: ApiKey | None = None
    source: CandidateKeys | None = None

    def is_valid(self, now: Instant) -> bool:
        """Return whether the credentials are valid, as far as is known without the store."""
        return now < self.until and (self.source is None or self.source.is_current)


class TokenVerifier:
    """Verifies tokens of some issuers."""

    def __init__(
        self, issuers: Iterable[IssuerSettings], key_set: Callable[[IssuerSettings], IssuerKeys] | None = None
    ) -> None:
        """Fetch nothing yet."""
        make = _key_set if key_set is None else key_set
        self._issuers = {it.issuer: (it, make(it)) for it in issuers}

    def read(self, token: str) -> Caller:
        """Verify a token and return its caller; raises as `admit`."""
        return self.admit(token).caller

    def refresh(self) -> None:
        """Fetch keys again that are in use and old."""
        for _, keys in self._issuers.values():
            keys.refresh()

    def admit(self, token: str) -> AuthenticatedCaller:
        """Verify a token; return its caller and until when it is valid."""
        if len(token) > _MAX_TOKEN:
            raise _rejected("the token is too long")
        try:
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise _rejected("the token is neither a key nor a JSON Web Token") from None
        named = unverified["payload"].get("iss")
        issuer, keys = self._issuers.get(named, (None, None)) if isinstance(named, str) else (None, None)
        if issuer is None or keys is None:
            raise _rejected("the issuer of the token is not trusted")
        header = unverified["header"]
        if header.get("alg") not in issuer.algorithms:
            raise _rejected("the algorithm of the token's signature is not allowed")
        kid = header.get("kid")
        candidates = keys.find(kid if isinstance(kid, str) else None, header["alg"])
        if not candidates.keys:
            raise _rejected("the issuer does not have the key that the token names")
        claims = _verify_with_any(token, candidates.keys, issuer)
        if claims is None:
            # The issuer may have replaced a key under the same name.
            candidates = keys.find_others(kid if isinstance(kid, str) else None, header["alg"], candidates)
            claims = _verify_with_any(token, candidates.keys, issuer)
        if claims is None:
            raise _rejected("the token is invalid: signature verification failed")
        until = (int(claims["exp"]) + issuer.leeway) * 1000
        return AuthenticatedCaller(_caller(issuer, claims), until, source=candidates)


class Authenticator:
    """Authenticates bearer tokens: API keys of the store, and tokens of issuers."""

    def __init__(self, store: Store, tokens: TokenVerifier) -> None:
        self._store = store
        self._tokens = tokens
        self.uses = KeyUses(store)

    def identify(self, token: str) -> Caller:
        """Return the caller of a token; raises as `admit`."""
        return self.admit(token).caller

    def admit(self, token: str) -> AuthenticatedCaller:
        """Return the caller of a token, and until when it is valid."""
        if token.startswith("tg_"):
            return self._by_key(token)
        return self._tokens.admit(token)

    def refresh(self) -> None:
        """Fetch keys of issuers again that are in use and old."""
        self._tokens.refresh()

    def _by_key(self, token: str) -> AuthenticatedCaller:
        key = self._store.read(lambda unit: authenticate_key(unit, token)) if is_key(token) else None
        if key is None:
            raise _rejected("no such key", key=key_id_in(token))
        if not key.is_valid(self._store.clock()):
            raise _rejected("the key was revoked" if key.revoked_at is not None else "the key has expired", key=key.id)
        self.uses.note(key)
        return AuthenticatedCaller(key_caller(key), FOREVER if key.expires_at is None else key.expires_at, key=key)


def key_caller(key: ApiKey) -> Caller:
    """Return the caller of a key."""
    scope = Scope(
        None if key.actions is None else frozenset(key.actions),
        None if key.customers is None else frozenset(key.customers),
    )
    return Caller(f"key/{key.id}", CallerKind.KEY, frozenset(key.roles), key.name, scope)


def _key_set(issuer: IssuerSettings) -> IssuerKeys:
    return IssuerKeys(issuer.jwks, ca_file=issuer.ca_file, token_file=issuer.token_file)


def _verify_with_any(token: str, keys: Sequence[jwt.PyJWK], issuer: IssuerSettings) -> dict[str, Any] | None:
    """Return the claims of a token that one of the keys has signed; `None` if no key has."""
    for key in keys:
        claims = _verify(token, key, issuer)
        if claims is not None:
            return claims
    return None


def _verify(token: str, key: jwt.PyJWK, issuer: IssuerSettings) -> dict[str, Any] | None:
    """Return the claims of a valid token; `None` if the signature is not by this key."""
    try:
        return jwt.decode(
            token,
            key,
            algorithms=list(issuer.algorithms),
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=issuer.leeway,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
        return None
    except jwt.ExpiredSignatureError:
        raise _rejected("the token has expired") from None
    except jwt.InvalidAudienceError:
        raise _rejected("the token is for another audience") from None
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise _rejected(f"the token is invalid: {error}") from None


def _caller(issuer: IssuerSettings, claims: Mapping[str, Any]) -> Caller:
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject:
        raise _rejected("the token has no subject")
    id_ = f"{issuer.name}/{subject}"
    if issuer.subjects:
        name = subject.removeprefix(_SERVICE_ACCOUNT)
        return Caller(id_, CallerKind.WORKLOAD, _workload_roles(issuer.subjects, subject), name)
    roles = [role for text in _texts(claims, issuer.roles_claim) for role in issuer.roles.get(text, ())]
    names = [claims.get(claim) for claim in ("name", "email", "preferred_username")]
    name = next((it for it in names if isinstance(it, str) and it.strip()), subject)
    return Caller(id_, CallerKind.PERSON, frozenset(roles), name)


def _workload_roles(subjects: Mapping[str, Sequence[str]], subject: str) -> frozenset[str]:
    """Return the roles of all entries that match the subject, part by part; `*` matches no empty part."""
    parts = subject.split(":")
    roles = set[str]()
    for entry, entry_roles in subjects.items():
        wanted = entry.split(":")
        if len(wanted) == len(parts) and all(
            wanted_part == part or (wanted_part == _ANY and part)
            for wanted_part, part in zip(wanted, parts, strict=True)
        ):
            roles.update(entry_roles)
    return frozenset(roles)


def _texts(claims: Mapping[str, Any], path: str) -> Sequence[str]:
    """Return the texts of a claim: a list, or one. A claim name that has dots itself takes precedence over the path."""
    value: object = claims.get(path)
    if value is None:
        value = claims
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, str):
        return [value]
    return [it for it in value if isinstance(it, str)] if isinstance(value, list) else []


def _rejected(detail: str, **about: str | None) -> RequestError:
    _log.info("credentials rejected", why=detail, **{name: value for name, value in about.items() if value is not None})
    return RequestError(401, "unauthorized", detail)
