from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import yaml
from structlog.testing import capture_logs

from tests.issuer import AUDIENCE, ISSUER, Issuer, JwksServer, write_jwks
from tiergate.control.auth.authentication import Authenticator, IssuerSettings, TokenVerifier, read_issuers
from tiergate.control.auth.jwks import MAX_AGE, REFRESH_AFTER, RETRY_AFTER, IssuerKeys, JwksError
from tiergate.errors import RequestError, SettingsError
from tiergate.permissions import Caller, CallerKind, Scope
from tiergate.store import SYSTEM, Store
from tiergate.store.keys import create_key, find_key, revoke_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.store.keys import NewKey

ROLES = {"tiergate-admins": ("admin",), "sales": ("sales-agent", "analyst")}
SIDECAR = "system:serviceaccount:shop:tiergate-sidecar"
CLUSTER = "https://kubernetes.default.svc"


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    """Give an issuer of people's tokens."""
    return Issuer()


@pytest.fixture(scope="module")
def cluster() -> Issuer:
    """Give a cluster that issues service accounts' tokens."""
    return Issuer("c1", CLUSTER, "ES256")


@pytest.fixture(scope="module")
def reader(issuer: Issuer, cluster: Issuer, tmp_path_factory: pytest.TempPathFactory) -> TokenVerifier:
    """Give a reader that trusts both."""
    folder = tmp_path_factory.mktemp("jwks")
    people = write_jwks(folder / "people.json", issuer)
    pods = write_jwks(folder / "pods.json", cluster)
    return TokenVerifier(
        [
            IssuerSettings(name="okta", issuer=ISSUER, audience=AUDIENCE, jwks=people, roles=ROLES),
            IssuerSettings(
                name="cluster", issuer=CLUSTER, audience=AUDIENCE, jwks=pods, subjects={SIDECAR: ("sidecar",)}
            ),
        ]
    )


def refusal(reader: TokenVerifier, token: str) -> str:
    """Why a token is refused."""
    with pytest.raises(RequestError) as refused:
        reader.read(token)
    assert refused.value.status == 401
    return refused.value.detail


def test_a_person_has_the_roles_that_the_claim_stands_for(reader: TokenVerifier, issuer: Issuer) -> None:
    """What is not listed counts for nothing, a role's own name included."""
    token = issuer.token(roles=["sales", "admin", "others", 7])
    expected = Caller("okta/ann", CallerKind.PERSON, frozenset({"sales-agent", "analyst"}), "Ann")
    assert reader.read(token) == expected


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Ann", "email": "ann@example.com"}, "Ann"),
        ({"name": " ", "email": "ann@example.com"}, "ann@example.com"),
        ({"name": None, "preferred_username": "ann"}, "ann"),
        ({"name": None}, "ann"),
        ({"name": 7, "email": ""}, "ann"),
    ],
)
def test_a_person_always_has_a_name(reader: TokenVerifier, issuer: Issuer, claims: dict[str, Any], name: str) -> None:
    """The subject, if the issuer tells no other."""
    assert reader.read(issuer.token(**claims)).name == name


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"roles": "sales"}, {"sales-agent", "analyst"}),
        ({"roles": None}, set()),
        ({"roles": {"sales": True}}, set()),
        ({"roles": 7}, set()),
        ({"roles": []}, set()),
    ],
)
def test_a_claim_of_another_form_gives_no_roles(
    reader: TokenVerifier, issuer: Issuer, claims: dict[str, Any], roles: set[str]
) -> None:
    """But for one text, which is as a list of one."""
    assert reader.read(issuer.token(**claims)).roles == roles


def test_a_claim_may_lie_inside_another(issuer: Issuer, tmp_path: Path) -> None:
    """By a path with dots; one whose own name has dots is found too."""
    for claim, claims in (
        ("realm_access.roles", {"realm_access": {"roles": ["sales"]}}),
        ("https://x.example/roles", {"https://x.example/roles": ["sales"]}),
    ):
        settings = IssuerSettings(
            name="o",
            issuer=ISSUER,
            audience=AUDIENCE,
            jwks=write_jwks(tmp_path / "k.json", issuer),
            roles_claim=claim,
            roles=ROLES,
        )
        assert "analyst" in TokenVerifier([settings]).read(issuer.token(**claims)).roles


def test_a_workload_has_the_roles_of_its_whole_subject(reader: TokenVerifier, cluster: Issuer) -> None:
    """Another account of the same cluster has none."""
    caller = reader.read(cluster.token(sub=SIDECAR))
    assert caller == Caller(f"cluster/{SIDECAR}", CallerKind.WORKLOAD, frozenset({"sidecar"}), "shop:tiergate-sidecar")
    for other in (f"{SIDECAR}-2", SIDECAR.replace("shop", "other"), SIDECAR.upper()):
        assert reader.read(cluster.token(sub=other)).roles == frozenset()


def test_an_entry_may_leave_whole_parts_of_a_subject_open(cluster: Issuer, tmp_path: Path) -> None:
    """As all service accounts of a namespace; never less than a part, nor several. Roles of several entries add up."""
    prefix = "system:serviceaccount"
    subjects: dict[str, tuple[str, ...]] = {
        f"{prefix}:shop:*": ("sidecar",),
        f"{prefix}:*:ops": ("analyst",),
        f"{prefix}:a*:x": ("admin",),
    }
    jwks = write_jwks(tmp_path / "pods.json", cluster)
    reader = TokenVerifier([IssuerSettings(name="c", issuer=CLUSTER, audience=AUDIENCE, jwks=jwks, subjects=subjects)])
    for subject, roles in (
        (f"{prefix}:shop:default", {"sidecar"}),
        (f"{prefix}:shop:ops", {"sidecar", "analyst"}),
        (f"{prefix}:other:ops", {"analyst"}),
        (f"{prefix}:other:default", set[str]()),
        (f"{prefix}:shop:", set[str]()),
        (f"{prefix}:shop", set[str]()),
        (f"{prefix}:shop:a:b", set[str]()),
        (f"other:{prefix}:shop:default", set[str]()),
        (f"{prefix}:ab:x", set[str]()),
    ):
        assert reader.read(cluster.token(sub=subject)).roles == roles, subject


def test_a_claim_of_roles_gives_a_workload_none(reader: TokenVerifier, cluster: Issuer) -> None:
    """Where subjects are listed, claims say nothing."""
    assert reader.read(cluster.token(sub="other", roles=["tiergate-admins"])).roles == frozenset()


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": 1_700_000_000}, "expired"),
        ({"nbf": 4_000_000_000}, "not yet valid"),
        ({"iat": 4_000_000_000, "exp": 4_000_000_300}, "not yet valid"),
        ({"aud": "others"}, "another audience"),
        ({"aud": ["others", "more"]}, "another audience"),
        ({"aud": None}, "aud"),
        ({"exp": None}, "exp"),
        ({"iat": None}, "iat"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "no subject"),
        ({"sub": 7}, "ubject"),
        ({"exp": "soon"}, "invalid"),
        ({"exp": True}, "expired"),
        ({"iss": "https://other.example.com"}, "not trusted"),
        ({"iss": None}, "not trusted"),
        ({"iss": ["https://id.example.com"]}, "not trusted"),
    ],
)
def test_a_token_whose_claims_are_wrong_is_refused(
    reader: TokenVerifier, issuer: Issuer, claims: dict[str, Any], why: str
) -> None:
    """However well it is signed."""
    assert why in refusal(
        reader,
        issuer.token(**claims)
        if claims.get("iss") != ["https://id.example.com"]
        else issuer.forged({"alg": "RS256", "kid": "k1"}, b"x", **claims),
    )


def test_clocks_may_differ_by_the_leeway_and_no_more(reader: TokenVerifier, issuer: Issuer) -> None:
    """On either side."""
    now = int(time.time())
    assert reader.read(issuer.token(exp=now - 10)).id == "okta/ann"
    assert reader.read(issuer.token(nbf=now + 10)).id == "okta/ann"
    assert "expired" in refusal(reader, issuer.token(exp=now - 60))
    assert "not yet valid" in refusal(reader, issuer.token(nbf=now + 90))


def test_a_token_signed_by_no_key_of_its_issuer_is_refused(
    reader: TokenVerifier, issuer: Issuer, cluster: Issuer
) -> None:
    """Another's key under the same name, another's key under its own name, a name that nobody has."""
    assert "signature" in refusal(reader, Issuer().token())
    assert "does not have" in refusal(reader, cluster.token(iss=ISSUER))
    assert "does not have" in refusal(reader, Issuer("k9").token())
    good, other = issuer.token().split("."), issuer.token(sub="bob").split(".")
    assert "signature" in refusal(reader, ".".join([*other[:2], good[2]]))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "HS256", "HS512", "", None, "RS1", 7])
def test_an_algorithm_that_is_not_listed_is_refused(reader: TokenVerifier, issuer: Issuer, alg: object) -> None:
    """Unsigned, or signed with what is no secret: the public key as it is published."""
    for secret in (b"", issuer.pem(), issuer.pem().strip(), b"x"):
        refusal(reader, issuer.forged({"alg": alg, "kid": "k1", "typ": "JWT"}, secret))


def test_keys_that_a_token_brings_along_are_not_looked_at(reader: TokenVerifier) -> None:
    """Neither inside its header nor where its header points."""
    other = Issuer("k1")
    headers: dict[str, object] = {
        "jwk": other.jwk(),
        "jku": "http://127.0.0.1:1/",
        "x5u": "http://127.0.0.1:1/",
        "x5c": ["x"],
    }
    assert "signature" in refusal(reader, other.token(headers))


@pytest.mark.parametrize(
    "token", ["", "x", "a.b", "a.b.c", "..", "a.b.c.d", "é.é.é", "x" * 20_000, "{}.{}.x", "eyJhbGciOiJSUzI1NiJ9.W10.x"]
)
def test_what_is_no_token_is_refused(reader: TokenVerifier, token: str) -> None:
    """And nothing worse."""
    refusal(reader, token)


# ── keys of issuers ──────────────────────────────────────────────────────────────────────────────────────────────────


class Clock:
    """Seconds that go on when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Say the time."""
        return self.now


@pytest.fixture
def server() -> Iterator[JwksServer]:
    """Give a server of keys."""
    with JwksServer().running() as running:
        yield running


def test_keys_are_fetched_once_and_kept(server: JwksServer, issuer: Issuer) -> None:
    """Until they are an hour old."""
    clock = Clock()
    server.serve_keys(issuer)
    keys = IssuerKeys(server.url, clock=clock)
    for step in (0, 10, REFRESH_AFTER - 11):
        clock.now += step
        assert keys.find("k1", "RS256").keys
    assert server.asked == 1
    clock.now += 1
    assert keys.find("k1", "RS256").keys
    assert server.asked == 2


def test_a_key_that_is_new_is_fetched_but_not_for_everybody_who_names_one(server: JwksServer, issuer: Issuer) -> None:
    """At most once a minute: anybody can name anything."""
    clock = Clock()
    server.serve_keys(issuer)
    keys = IssuerKeys(server.url, clock=clock)
    assert keys.find("k1", "RS256").keys
    server.serve_keys(issuer, Issuer("k2", kind="ES256"))
    for name in ("k2", "x", "y", "z"):
        assert not keys.find(name, "RS256").keys
    assert server.asked == 1
    clock.now += RETRY_AFTER
    assert keys.find("k2", "ES256").keys
    assert not keys.find("x", "RS256").keys
    assert server.asked == 2


def test_a_key_that_was_withdrawn_counts_no_more(server: JwksServer, issuer: Issuer) -> None:
    """From the next time on that keys are fetched."""
    clock = Clock()
    server.serve_keys(issuer)
    keys = IssuerKeys(server.url, clock=clock)
    assert keys.find("k1", "RS256").keys
    server.serve_keys(Issuer("k2", kind="ES256"))
    clock.now += REFRESH_AFTER
    assert not keys.find("k1", "RS256").keys


@pytest.mark.parametrize(
    ("status", "content"), [(500, b"{}"), (200, b"{"), (200, b'{"keys": []}'), (302, b""), (200, b" " * 2**21)]
)
def test_keys_of_before_serve_on_for_a_day(server: JwksServer, issuer: Issuer, status: int, content: bytes) -> None:
    """Where their issuer is away, or answers nonsense; a redirection is not followed."""
    clock = Clock()
    server.serve_keys(issuer)
    keys = IssuerKeys(server.url, clock=clock)
    assert keys.find("k1", "RS256").keys
    server.status, server.content = status, content
    clock.now += MAX_AGE
    assert keys.find("k1", "RS256").keys
    assert server.asked == 2
    clock.now += 1
    with pytest.raises(JwksError):
        keys.find("k1", "RS256")


def test_without_keys_nobody_is_let_in(tmp_path: Path) -> None:
    """A file that is not there is no set of keys that is empty."""
    with pytest.raises(JwksError):
        IssuerKeys(str(tmp_path / "nothing.json")).find("k1", "RS256")


def test_a_set_of_keys_has_no_secrets_and_none_for_other_uses(issuer: Issuer, tmp_path: Path) -> None:
    """Whoever can read a secret could sign with it."""
    entries = [
        {"kty": "oct", "kid": "s", "k": "c2VjcmV0"},
        issuer.jwk(use="enc", kid="e"),
        {"kty": "new", "kid": "n"},
        issuer.jwk(kid="good"),
    ]
    path = tmp_path / "k.json"
    path.write_text(json.dumps({"keys": entries}))
    keys = IssuerKeys(str(path))
    assert [bool(keys.find(kid, "RS256").keys) for kid in ("s", "e", "n", "good")] == [False, False, False, True]
    assert keys.find(None, "RS256").keys


def test_keys_are_fetched_with_a_token_where_the_server_wants_one(
    server: JwksServer, issuer: Issuer, tmp_path: Path
) -> None:
    """Read anew each time, since it is replaced now and then."""
    server.serve_keys(issuer)
    (tmp_path / "token").write_text("abc\n")
    assert IssuerKeys(server.url, token_file=str(tmp_path / "token")).find("k1", "RS256").keys
    assert server.token == "Bearer abc"


def test_keys_come_over_a_secure_connection() -> None:
    """Or from this machine."""
    with pytest.raises(SettingsError, match="https"):
        IssuerKeys("http://id.example.com/jwks")
    IssuerKeys("https://id.example.com/jwks")
    IssuerKeys("http://localhost:1/jwks")


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD = {"name": "okta", "issuer": ISSUER, "audience": AUDIENCE, "jwks": "k.json", "roles": {"a": ["admin"]}}


def test_issuers_are_read_from_a_file() -> None:
    """YAML or JSON."""
    assert read_issuers(yaml.safe_dump({"issuers": [GOOD]})) == [
        IssuerSettings(name="okta", issuer=ISSUER, audience=AUDIENCE, jwks="k.json", roles={"a": ("admin",)})
    ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"name": "key"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"audience": ""}, "audience"),
        ({"leeway": 3600}, "leeway"),
        ({"roles": {}}, "roles"),
        ({"subjects": {"s": ["sidecar"]}}, "subjects"),
        ({"roles": {}, "subjects": {"*": ["sidecar"]}}, "anybody"),
        ({"roles": {}, "subjects": {"*:*": ["sidecar"]}}, "anybody"),
        ({"audiance": "x"}, "audiance"),
    ],
)
def test_settings_that_would_trust_too_much_are_refused(change: dict[str, object], why: str) -> None:
    """When they are read."""
    with pytest.raises(SettingsError, match=why):
        read_issuers(json.dumps({"issuers": [GOOD | change]}))


@pytest.mark.parametrize("text", ["", "[]", "issuers: 7", "{", "others: []", "!!python/object:os.system {}"])
def test_a_file_that_says_no_issuers_is_refused(text: str) -> None:
    """Whatever it says."""
    with pytest.raises(SettingsError):
        read_issuers(text)


def test_two_issuers_are_told_apart() -> None:
    """By their names and by what they call themselves."""
    with pytest.raises(SettingsError, match="same `name`"):
        read_issuers(json.dumps({"issuers": [GOOD, GOOD | {"issuer": "https://b"}]}))
    with pytest.raises(SettingsError, match="same `issuer`"):
        read_issuers(json.dumps({"issuers": [GOOD, GOOD | {"name": "b"}]}))


# ── keys of the store ────────────────────────────────────────────────────────────────────────────────────────────────


class StoreClock:
    """A store's clock that stands until it is put."""

    now = 1_800_000_000_000

    def __call__(self) -> int:
        """Say the time."""
        return self.now


@pytest.fixture
def clock() -> StoreClock:
    """Give a clock."""
    return StoreClock()


@pytest.fixture
def store(sqlite_url: str, clock: StoreClock) -> Iterator[Store]:
    """Give a store."""
    with contextlib.closing(Store.open(sqlite_url, clock=clock)) as opened:
        yield opened


def new_key(store: Store, **narrowed: Any) -> NewKey:  # noqa: ANN401 - of several types
    """A new key."""
    return store.change(lambda unit: create_key(unit, "ci", ["publisher"], **narrowed), SYSTEM)


def test_a_key_stands_for_its_roles_and_scope(store: Store, reader: TokenVerifier) -> None:
    """And its use is written down."""
    key, shown = new_key(store, actions=["preview"], customers=["acme"])
    people = Authenticator(store, reader)
    caller = people.identify(shown)
    scope = Scope(frozenset({"preview"}), frozenset({"acme"}))
    assert caller == Caller(f"key/{key.id}", CallerKind.KEY, frozenset({"publisher"}), "ci", scope)
    people.uses.wait()
    found = store.read(lambda unit: find_key(unit, key.id))
    assert found is not None
    assert found.last_used_at == store.clock()


def test_a_key_that_is_not_good_any_more_is_refused(store: Store, reader: TokenVerifier, clock: StoreClock) -> None:
    """At once when it is revoked, at its instant when it expires."""
    people = Authenticator(store, reader)
    (revoked, first), (_, second) = new_key(store), new_key(store, expires_at=clock.now + 1000)
    assert people.identify(first).name == "ci"
    store.change(lambda unit: revoke_key(unit, revoked.id), SYSTEM)
    with pytest.raises(RequestError, match="revoked"):
        people.identify(first)
    assert people.identify(second).name == "ci"
    clock.now += 1000
    with pytest.raises(RequestError, match="expired"):
        people.identify(second)


@pytest.mark.parametrize("shown", ["tg_", "tg_x", f"tg_{'a' * 12}_{'b' * 43}", "tg_a.b.c"])
def test_what_only_looks_like_a_key_is_refused(store: Store, reader: TokenVerifier, shown: str) -> None:
    """And is read as nothing else."""
    with pytest.raises(RequestError, match="no such key"):
        Authenticator(store, reader).identify(shown)


@pytest.mark.parametrize("case", ["unknown", "revoked", "none"])
def test_the_log_names_the_key_of_a_refused_call(store: Store, reader: TokenVerifier, case: str) -> None:
    """By its public id where there is one; never with its secret."""
    key, text = new_key(store)
    id_, secret = text.removeprefix("tg_").split("_", 1)
    if case == "unknown":
        shown = f"tg_{id_}_{secret[::-1]}"
    elif case == "revoked":
        store.change(lambda unit: revoke_key(unit, key.id), SYSTEM)
        shown = text
    else:
        shown = "tg_x"
    with capture_logs() as said, pytest.raises(RequestError):
        Authenticator(store, reader).identify(shown)
    (entry,) = [it for it in said if it["event"] == "credentials rejected"]
    assert entry.get("key") == (None if case == "none" else key.id)
    assert secret not in str(entry)
    assert secret[::-1] not in str(entry)


def test_tokens_are_read_beside_keys(store: Store, reader: TokenVerifier, issuer: Issuer) -> None:
    """By what they look like."""
    assert Authenticator(store, reader).identify(issuer.token()).id == "okta/ann"


def test_a_key_that_was_replaced_under_its_name_is_fetched(server: JwksServer, issuer: Issuer) -> None:
    """A signature that fails counts as a miss: once a minute, the issuer is asked for what it has now."""
    clock = Clock()
    replaced = Issuer(issuer.kid)
    server.serve_keys(issuer)
    settings = IssuerSettings(name="okta", issuer=ISSUER, audience=AUDIENCE, jwks=server.url, roles=ROLES)
    keys = IssuerKeys(server.url, clock=clock)
    reader = TokenVerifier([settings], lambda _: keys)
    assert reader.read(issuer.token()).id == f"{settings.name}/ann"
    server.serve_keys(replaced)
    with pytest.raises(RequestError, match="invalid"):
        reader.read(replaced.token())
    assert server.asked == 1
    clock.now += RETRY_AFTER
    assert reader.read(replaced.token()).id == f"{settings.name}/ann"
    assert server.asked == 2
    with pytest.raises(RequestError, match="invalid"):
        reader.read(issuer.token())
    assert server.asked == 2


@pytest.mark.parametrize("kid", ["k1", None])
def test_each_of_several_keys_without_names_is_tried(server: JwksServer, kid: str | None) -> None:
    """Whether a token names one or not: only which of them signed it counts."""
    issuers = [Issuer("k1"), Issuer("k1"), Issuer("k1", kind="ES256")]
    nameless = [{name: value for name, value in it.jwk().items() if name != "kid"} for it in issuers]
    server.content = json.dumps({"keys": nameless}).encode()
    settings = IssuerSettings(
        name="okta", issuer=ISSUER, audience=AUDIENCE, jwks=server.url, roles=ROLES, algorithms=("RS256", "ES256")
    )
    keys = IssuerKeys(server.url)
    reader = TokenVerifier([settings], lambda _: keys)
    for one in issuers:
        token = jwt.encode(one.claims(), one.key, one.kind, {} if kid is None else {"kid": kid})
        assert reader.read(token).id == f"{settings.name}/ann"
    with pytest.raises(RequestError, match="invalid"):
        reader.read(Issuer("k1").token())
