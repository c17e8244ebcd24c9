"""Ways in without the right to: every route by every role, tokens that are not good, and tricks with the request.

What each route is for is written down here a second time, by hand: a route without a row fails, and so does a row
whose route lets in somebody else.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import SQLModel

from tests.admin import identify_by_roles, serving, serving_app
from tests.issuer import AUDIENCE, ISSUER, Issuer, write_jwks
from tiergate.admin.roles import PublishedRoles
from tiergate.admin.usage_bounds import PublishedBounds
from tiergate.bundle import SigningKey
from tiergate.control.api.admin_api import AdminApi
from tiergate.control.api.probes import Probes
from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.router import Endpoint, Open
from tiergate.control.app import all_endpoints
from tiergate.control.auth.authentication import Authenticator, IssuerSettings, TokenVerifier
from tiergate.control.feed_api.bundle_archives import BundleArchives
from tiergate.control.feed_api.endpoints import FeedApi
from tiergate.control.feed_api.feed_pages import HeadSigner
from tiergate.control.feed_api.feed_watcher import FeedWatcher
from tiergate.control.feed_api.snapshots import Snapshots
from tiergate.control.metrics import RequestCounts, build_registry
from tiergate.control.status_page.endpoints import StatusPage
from tiergate.control.webhooks.webhook_targets import WebhookTargets
from tiergate.permissions import shipped_roles
from tiergate.publish.signer import Signer
from tiergate.store import SYSTEM, Store
from tiergate.store.keys import create_key, revoke_key
from tiergate.store.usage_ledger import UsageLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from tests.admin import Admin

# ── who is let in where ──────────────────────────────────────────────────────────────────────────────────────────────

ADMIN = frozenset({"admin"})
SALES = ADMIN | {"sales-agent", "sales-manager"}
SUPPORT = SALES | {"customer-support"}
MANAGERS = ADMIN | {"product-manager"}
STAFF = SUPPORT | MANAGERS | {"tech-support", "analyst", "finance-executive", "operations"}
PUBLISHING = MANAGERS | {"publisher"}
CATALOG_READERS = STAFF | {"publisher"}
OPERATIONS = ADMIN | {"operations"}
SIDECARS = ADMIN | {"sidecar"}
ROLES = sorted(STAFF | {"publisher", "sidecar", "nobody"})
EVERY_ROLE = frozenset(ROLES)

WHO: list[tuple[frozenset[str], str]] = [
    (
        CATALOG_READERS,
        """
        GET /v1/features
        GET /v1/features/{id}
        GET /v1/features/{id}/suspensions
        GET /v1/features/{id}/status
        GET /v1/features/{id}/service-level
        GET /v1/status
        GET /v1/service-levels
        GET /v1/export/service-levels
        GET /v1/export/service-levels/csv
        GET /v1/entitlements
        GET /v1/items
        GET /v1/items/{id}
        GET /v1/items/{id}/versions
        GET /v1/items/{id}/versions/{version}
        GET /v1/items/{id}/draft
        GET /v1/items/{id}/draft/diff
        GET /v1/items/{id}/rollouts
        GET /v1/pending
        GET /v1/publications
        GET /v1/publications/{sequence}
        GET /v1/export
        """,
    ),
    (
        MANAGERS,
        """
        POST /v1/features
        PATCH /v1/features/{id}
        DELETE /v1/features/{id}
        DELETE /v1/features/{id}/draft
        POST /v1/features/{id}/activate
        POST /v1/features/{id}/archive
        POST /v1/features/{id}/reactivate
        POST /v1/features/{id}/suspensions
        DELETE /v1/features/{id}/suspensions/{number}
        POST /v1/items
        PATCH /v1/items/{id}
        DELETE /v1/items/{id}
        POST /v1/items/{id}/archive
        POST /v1/items/{id}/activate
        POST /v1/items/{id}/retire
        PUT /v1/items/{id}/draft
        PATCH /v1/items/{id}/draft
        DELETE /v1/items/{id}/draft
        PUT /v1/items/{id}/draft/entitlements/{feature}
        DELETE /v1/items/{id}/draft/entitlements/{feature}
        """,
    ),
    (
        ADMIN,
        """
        POST /v1/rules/check
        PUT /v1/rules/{kind}/{name}
        DELETE /v1/rules/{kind}/{name}
        PUT /v1/roles/draft
        DELETE /v1/roles/draft
        GET /v1/keys
        POST /v1/keys
        GET /v1/keys/{id}
        DELETE /v1/keys/{id}
        GET /v1/audit
        GET /v1/audit/export
        POST /v1/customers/{customer}/erase
        POST /v1/authors/erase
        GET /v1/webhooks
        POST /v1/webhooks
        GET /v1/webhooks/{webhook}
        PATCH /v1/webhooks/{webhook}
        DELETE /v1/webhooks/{webhook}
        POST /v1/webhooks/{webhook}/rotate-secret
        POST /v1/webhooks/{webhook}/redeliver
        POST /v1/webhooks/{webhook}/test
        GET /v1/webhooks/{webhook}/deliveries
        GET /v1/webhooks/{webhook}/deliveries/{delivery}
        POST /v1/webhooks/{webhook}/deliveries/{delivery}/redeliver
        """,
    ),
    (
        PUBLISHING,
        """
        POST /v1/publish
        POST /v1/preview
        POST /v1/publications/{sequence}/rollback
        PUT /v1/items/{id}/rollouts
        POST /v1/items/{id}/rollouts
        POST /v1/apply
        """,
    ),
    (
        STAFF,
        """
        GET /v1/roles
        GET /v1/roles/draft
        GET /v1/rules
        GET /v1/rules/{kind}/{name}
        GET /v1/bundles/{revision}
        GET /v1/pending/bundle
        GET /v1/export/subjects
        GET /v1/endings
        GET /v1/events
        GET /v1/customers
        GET /v1/customers/{customer}
        GET /v1/customers/{customer}/subscriptions
        GET /v1/customers/{customer}/entitlements
        GET /v1/customers/{customer}/overrides
        GET /v1/customers/{customer}/overrides/{override}
        GET /v1/customers/{customer}/suspensions
        GET /v1/customers/{customer}/usage
        GET /v1/customers/{customer}/usage/series
        GET /v1/features/{id}/usage
        GET /v1/export/usage
        GET /v1/export/usage/csv
        GET /v1/usage/allocation
        GET /v1/usage/exports
        GET /v1/usage/leases
        POST /v1/usage/exports
        GET /v1/customers/{customer}/grants
        GET /v1/customers/{customer}/grants/{grant}
        GET /v1/customers/{customer}/thresholds
        GET /v1/customers/{customer}/thresholds/{feature}
        GET /v1/subscriptions
        GET /v1/subscriptions/{subscription}
        GET /v1/subscriptions/{subscription}/entitlements
        GET /v1/subscriptions/{subscription}/overrides
        GET /v1/subscriptions/{subscription}/overrides/{override}
        GET /v1/subscriptions/{subscription}/suspensions
        POST /v1/explain
        POST /v1/replay
        GET /v1/status/reports
        GET /v1/status/reports/{id}
        GET /v1/status/monitors
        GET /v1/status/monitors/{monitor}
        """,
    ),
    (
        OPERATIONS,
        """
        POST /v1/status/reports
        PATCH /v1/status/reports/{id}
        DELETE /v1/status/reports/{id}
        POST /v1/status/reports/{id}/end
        PUT /v1/status/monitors/{monitor}
        DELETE /v1/status/monitors/{monitor}
        POST /v1/status/monitors/{monitor}/heartbeat
        POST /v1/status/monitors/{monitor}/report
        POST /v1/status/alertmanager
        """,
    ),
    (
        SUPPORT,
        """
        POST /v1/customers/{customer}/overrides
        POST /v1/customers/{customer}/grants
        POST /v1/subscriptions/{subscription}/overrides
        """,
    ),
    (
        SALES,
        """
        POST /v1/import/subjects
        POST /v1/customers/{customer}/items
        POST /v1/customers/{customer}/plan
        PUT /v1/customers/{customer}/plan
        POST /v1/subscriptions/{subscription}/plan
        POST /v1/customers
        PUT /v1/customers/{customer}
        PUT /v1/customers/{customer}/thresholds/{feature}
        DELETE /v1/customers/{customer}/thresholds/{feature}
        PATCH /v1/customers/{customer}
        DELETE /v1/customers/{customer}
        POST /v1/customers/{customer}/subscriptions
        PUT /v1/customers/{customer}/overrides/{override}
        DELETE /v1/customers/{customer}/overrides/{override}
        POST /v1/customers/{customer}/suspensions
        POST /v1/customers/{customer}/usage/corrections
        POST /v1/usage/leases/write-off
        PATCH /v1/customers/{customer}/grants/{grant}
        DELETE /v1/customers/{customer}/grants/{grant}
        DELETE /v1/customers/{customer}/suspensions/{feature}
        POST /v1/subscriptions
        PUT /v1/subscriptions/{subscription}
        PATCH /v1/subscriptions/{subscription}
        DELETE /v1/subscriptions/{subscription}
        POST /v1/subscriptions/{subscription}/items
        PATCH /v1/subscriptions/{subscription}/items/{item}
        DELETE /v1/subscriptions/{subscription}/items/{item}
        PUT /v1/subscriptions/{subscription}/items/{item}/pin
        DELETE /v1/subscriptions/{subscription}/items/{item}/pin
        POST /v1/subscriptions/{subscription}/trial
        POST /v1/subscriptions/{subscription}/activate
        POST /v1/subscriptions/{subscription}/pause
        POST /v1/subscriptions/{subscription}/resume
        POST /v1/subscriptions/{subscription}/past-due
        POST /v1/subscriptions/{subscription}/cancel
        POST /v1/subscriptions/{subscription}/end
        PUT /v1/subscriptions/{subscription}/billing
        POST /v1/subscriptions/{subscription}/change
        DELETE /v1/subscriptions/{subscription}/change
        PUT /v1/subscriptions/{subscription}/overrides/{override}
        DELETE /v1/subscriptions/{subscription}/overrides/{override}
        POST /v1/subscriptions/{subscription}/suspensions
        DELETE /v1/subscriptions/{subscription}/suspensions/{feature}
        """,
    ),
    (
        SIDECARS,
        """
        GET /v1/sync/changes
        GET /v1/sync/publication
        GET /v1/sync/bundles/{revision}
        GET /v1/sync/snapshot
        GET /v1/sync/snapshot/pages/{sha256}
        GET /v1/sync/subjects/{kind}/{subject}
        POST /v1/sync/outcomes
        POST /v1/sync/usage
        POST /v1/usage
        """,
    ),
    (EVERY_ROLE, "GET /v1/whoami"),
]
EXPECTED = {route.strip(): who for who, text in WHO for route in text.strip().splitlines()}
PUBLIC_PAGE = {"GET /status", "GET /status.json", "GET /status.atom"}
FOR_ANYBODY = {"GET /livez", "GET /readyz", "GET /metrics", "GET /openapi.json"} | PUBLIC_PAGE

# What a key for `acme` alone may still ask about the catalog; and nothing of others' customers, whatever its roles.
NOBODYS = {
    "GET /v1/features/{id}",
    "GET /v1/features/{id}/suspensions",
    "GET /v1/features/{id}/status",
    "GET /v1/features/{id}/service-level",
    "GET /v1/items/{id}",
    "GET /v1/items/{id}/versions",
    "GET /v1/items/{id}/versions/{version}",
    "GET /v1/items/{id}/draft",
    "GET /v1/items/{id}/draft/diff",
    "GET /v1/items/{id}/rollouts",
    "GET /v1/whoami",
    "POST /v1/usage",  # each record is authorized by its customer
}

# Routes whose body says whom they are about.
ABOUT = {"POST /v1/explain", "POST /v1/replay"}

NEW = {"id": "sub_other", "customer": "other", "status": "active", "items": [{"item": "gold"}]}


def parts(store: Store) -> list[Endpoint]:
    """Every endpoint of the control plane."""
    signer, tail = Signer([SigningKey.generate()]), FeedWatcher(store)
    sync = FeedApi(store, tail, HeadSigner(store.id, signer), Snapshots(store), BundleArchives(store))
    probes = Probes(tail, build_registry(RequestCounts(), dict), store)
    return all_endpoints(
        store=store,
        signer=signer,
        sync=sync,
        ledger=UsageLedger(store, PublishedBounds()),
        targets=WebhookTargets(),
        published_roles=PublishedRoles(store),
        open_routes=[*probes.endpoints(), *StatusPage(store, title="Status").endpoints()],
    )


def reached(_request: AdminRequest) -> Response:
    """Say that the door was passed."""
    return Response.empty()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Give a store with two customers, who have a subscription and a private plan each."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    with contextlib.closing(Store.open(f"sqlite:///{path}", migrating=True)) as opened:
        with serving(opened, parts(opened)) as admin:
            fill(admin.as_("admin"))
        yield opened


def fill(client: httpx.Client) -> None:
    """Make what the routes are about."""
    answers = [client.post("/v1/items", json={"id": "gold", "kind": "plan", "entitlements": {}})]
    for name in ("acme", "other"):
        answers.append(client.post("/v1/customers", json={"id": name}))
        item: dict[str, Any] = {"id": f"{name}-only", "kind": "plan", "private_to": name, "entitlements": {}}
        answers.append(client.post("/v1/items", json=item))
    answers.append(client.post("/v1/publish", json={}))
    held = [NEW | {"id": f"sub_{name}", "customer": name} for name in ("acme", "other")]
    answers += [client.post("/v1/subscriptions", json=body) for body in held]
    assert {answer.status_code for answer in answers} <= {200, 201}, [answer.text for answer in answers]


@pytest.fixture(scope="module")
def doors(store: Store) -> Iterator[Admin]:
    """Serve every route as it is, but for its handler: behind each door somebody says that it was passed."""
    table = shipped_roles()
    endpoints = [replace(endpoint, handler=reached) for endpoint in parts(store)]
    with serving_app(AdminApi(endpoints, identify=identify_by_roles, roles=lambda: table, store=store)) as admin:
        yield admin


def path_of(route: str, customer: str, item: str = "gold") -> tuple[str, str]:
    """A method and a path, with names in it."""
    method, path = route.split()
    items = "/items/" in path and "{subscription}" not in path
    names = {"customer": customer, "subscription": f"sub_{customer}", "id": item if items else "x"}
    return method, re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], "x"), path)


def ask(client: httpx.Client, route: str, customer: str, item: str = "gold") -> int:
    """The status of an answer."""
    method, path = path_of(route, customer, item)
    body: dict[str, Any] | None = None
    if route in ABOUT:
        check = {"subject": {"type": "subscription", "id": f"sub_{customer}"}, "feature": "x"}
        body = check if route == "POST /v1/explain" else {"check": check}
    elif method in {"POST", "PUT", "PATCH"}:
        body = {"id": customer, "customer": customer}
    media = {"/v1/import/subjects": "application/x-ndjson"}
    media |= dict.fromkeys(("/v1/sync/usage", "/v1/sync/outcomes"), "application/msgpack")
    headers = {"content-type": media[path]} if path in media else None
    return client.request(method, path, json=body, headers=headers).status_code


def test_every_route_has_its_row(store: Store) -> None:
    """And every row its route."""
    routes = {f"{endpoint.method} {endpoint.path}": endpoint.action for endpoint in parts(store)}
    assert routes.keys() == EXPECTED.keys() | FOR_ANYBODY
    assert {route for route, action in routes.items() if action is Open.ANYBODY} == FOR_ANYBODY
    assert [route for route, action in routes.items() if action is Open.AUTHENTICATED] == ["GET /v1/whoami"]


@pytest.mark.parametrize("role", ROLES)
def test_every_route_lets_in_whom_its_row_names(doors: Admin, role: str) -> None:
    """And nobody else."""
    client = doors.as_(role)
    found = {route: ask(client, route, "acme") for route in EXPECTED}
    assert found == {route: 204 if role in who else 403 for route, who in EXPECTED.items()}


def test_no_route_lets_in_who_shows_nothing(doors: Admin) -> None:
    """But those that say so."""
    client = doors.client()
    assert {route for route in EXPECTED if ask(client, route, "acme") != 401} == set()
    assert {ask(client, route, "acme") for route in FOR_ANYBODY} == {204}


def test_a_key_for_one_customer_reaches_nothing_of_another(doors: Admin) -> None:
    """Whatever its roles: neither what is the other's nor what is everybody's."""
    client = doors.as_("admin", customers=["acme"])
    assert {route for route in EXPECTED if ask(client, route, "other") != 403} == NOBODYS


def test_a_key_for_one_customer_reaches_what_is_its_own(doors: Admin) -> None:
    """All routes about a customer or a subscription, and no other."""
    client = doors.as_("admin", customers=["acme"])
    own = {route for route in EXPECTED if "{customer}" in route or "{subscription}" in route}
    own |= {"POST /v1/customers", "POST /v1/subscriptions", "POST /v1/usage/leases/write-off"} | ABOUT
    assert {route for route in EXPECTED if ask(client, route, "acme") != 403} == own | NOBODYS


def test_a_private_item_is_its_customers(doors: Admin) -> None:
    """Another customer's key learns as little of it as of one that does not exist."""
    client = doors.as_("admin", customers=["acme"])
    items = [route for route in EXPECTED if "/v1/items/{id}" in route]
    assert {ask(client, route, "acme", "other-only") for route in items} == {403}
    assert {ask(client, route, "acme", "acme-only") for route in items} >= {204}


def test_a_subscription_cannot_be_taken_over_by_its_body(doors: Admin) -> None:
    """Whose it is says the store, not the request."""
    client = doors.as_("admin", customers=["acme"])
    for method in ("PUT", "PATCH"):
        answer = client.request(method, "/v1/subscriptions/sub_other", json={"id": "sub_other", "customer": "acme"})
        assert answer.status_code == 403


# ── credentials ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    """Give the issuer that is trusted."""
    return Issuer()


@pytest.fixture(scope="module")
def guarded(store: Store, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """Serve every route to keys of the store and tokens of the issuer."""
    settings = IssuerSettings(
        name="okta",
        issuer=ISSUER,
        audience=AUDIENCE,
        jwks=write_jwks(tmp_path_factory.mktemp("keys") / "jwks.json", issuer),
        roles={"tiergate-admins": ("admin",)},
    )
    people = Authenticator(store, TokenVerifier([settings]))
    with serving(store, parts(store), identify=people.identify, roles=PublishedRoles(store)) as admin:
        yield admin


def test_good_credentials_open(store: Store, guarded: Admin, issuer: Issuer) -> None:
    """What the others below lack is what makes the difference."""
    key = store.change(lambda unit: create_key(unit, "k", ["admin"]), SYSTEM).text
    for token in (issuer.token(), key):
        assert guarded.bearing(token).get("/v1/keys").status_code == 200


FORGED: dict[str, Callable[[Issuer], str]] = {
    "signed by nobody": lambda it: it.forged({"alg": "none", "typ": "JWT"}),
    "signed by nobody, with a key's name": lambda it: it.forged({"alg": "none", "kid": "k1"}),
    "signed by nobody, in other letters": lambda it: it.forged({"alg": "nOnE", "kid": "k1"}),
    "the public key as a secret": lambda it: it.forged({"alg": "HS256", "kid": "k1"}, it.pem()),
    "an empty secret": lambda it: it.forged({"alg": "HS256", "kid": "k1"}, b"\0"),
    "another's key under the same name": lambda _: Issuer("k1").token(),
    "another's key under its own name": lambda _: Issuer("k7").token(),
    "a name that is a path": lambda it: it.token({"kid": "../../dev/null"}),
    "expired": lambda it: it.token(exp=int(time.time()) - 3600),
    "never expiring": lambda it: it.token(exp=None),
    "not yet": lambda it: it.token(nbf=int(time.time()) + 3600),
    "from the future": lambda it: it.token(iat=int(time.time()) + 3600, exp=int(time.time()) + 7200),
    "for another audience": lambda it: it.token(aud="others"),
    "for no audience": lambda it: it.token(aud=None),
    "of another issuer": lambda it: it.token(iss="https://evil.example.com"),
    "of an issuer like ours": lambda it: it.token(iss=ISSUER + "/"),
    "of nobody": lambda it: it.token(sub=None),
    "cut off": lambda it: it.token()[:-10],
    "without a signature": lambda it: it.token().rpartition(".")[0] + ".",
    "of another's claims": lambda it: ".".join(
        [it.token().split(".")[0], it.token(sub="x").split(".")[1], it.token().split(".")[2]]
    ),
    "one letter more": lambda it: it.token() + "A",
    "with an unknown demand": lambda it: it.token({"crit": ["exp2"], "exp2": 1}),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_token_that_is_not_good_opens_nothing(guarded: Admin, issuer: Issuer, name: str) -> None:
    """Not even what everybody may ask who is somebody."""
    client = guarded.bearing(FORGED[name](issuer))
    assert client.get("/v1/whoami").status_code == 401
    assert client.post("/v1/keys", json={"name": "k", "roles": ["admin"]}).status_code == 401


def test_a_key_that_is_not_good_opens_nothing(store: Store, guarded: Admin) -> None:
    """Revoked, expired, of another's secret, of another store, or only like one."""
    one, two, old = (store.change(lambda unit: create_key(unit, "k", ["admin"]), SYSTEM) for _ in range(3))
    store.change(lambda unit: revoke_key(unit, old.key.id), SYSTEM)
    expired = store.change(lambda unit: create_key(unit, "k", ["admin"], expires_at=unit.now), SYSTEM)
    shown = [
        old.text,
        expired.text,
        f"tg_{one.key.id}_{two.text.split('_', 2)[2]}",
        one.text[:-1] + ("A" if one.text[-1] != "A" else "B"),
        one.text + "A",
        one.text.swapcase(),
        f"tg_{one.key.id}_",
        f"tg_{one.key.id}_{'%' * 43}",
        "tg_' OR '1'='1",
    ]
    for text in shown:
        assert guarded.bearing(text).get("/v1/whoami").status_code == 401


def test_a_key_of_another_role_opens_what_is_its_roles(store: Store, guarded: Admin) -> None:
    """A sidecar's key makes no keys, and a person's reads no feed."""
    sidecar = guarded.bearing(store.change(lambda unit: create_key(unit, "s", ["sidecar"]), SYSTEM).text)
    analyst = guarded.bearing(store.change(lambda unit: create_key(unit, "a", ["analyst"]), SYSTEM).text)
    assert sidecar.post("/v1/keys", json={"name": "k", "roles": ["admin"]}).status_code == 403
    assert sidecar.get("/v1/customers/acme").status_code == 403
    assert analyst.get("/v1/sync/publication").status_code == 403


def test_a_role_that_a_token_gives_itself_is_none(guarded: Admin, issuer: Issuer) -> None:
    """Only what the operator mapped counts."""
    for roles in (["admin"], ['Role::"admin"'], "admin", {"admin": True}, ["TIERGATE-ADMINS"], ["tiergate-admins "]):
        client = guarded.bearing(issuer.token(roles=roles))
        assert client.get("/v1/whoami").json()["roles"] == []
        assert client.get("/v1/features").status_code == 403


def test_a_name_that_looks_like_policy_is_a_name(guarded: Admin, issuer: Issuer) -> None:
    """Who is called like an entity of the policies is nobody else for it."""
    for subject in ('x", "type": "Role', 'Role::"admin"', "\\", "x\u0000y", "key/admin", "é" * 500):
        said = guarded.bearing(issuer.token(sub=subject, roles=[])).get("/v1/whoami")
        assert (said.status_code, said.json()["may"]) == (200, [])
        assert said.json()["id"] == f"okta/{subject}"


# ── tricks with the request ──────────────────────────────────────────────────────────────────────────────────────────


def raw(admin: Admin, method: str, path: str, headers: list[tuple[str, str]]) -> int:
    """The status of an answer to exactly this request."""
    host, port = admin.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


PATHS = [
    "//v1/keys",
    "/v1//keys",
    "/v1/keys/",
    "/v1/./keys",
    "/v1/features/../keys",
    "/v1/features/%2e%2e/keys",
    "/v1/features/..%2fkeys",
    "/v1/features/..;/keys",
    "/v1/features%2f..%2fkeys",
    "/v1/%6beys",
    "/v1/keys%00",
    "/v1/keys%20",
    "/v1/keys;a=b",
    "/v1\\keys",
    "/V1/KEYS",
    "/v1/keys/.",
    "http://localhost/v1/keys/",
    "/v1/features/x%2f..%2f..%2fkeys",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", ["admin", "analyst"])
def test_a_path_spelt_otherwise_leads_nowhere(doors: Admin, path: str, role: str) -> None:
    """So nothing that stands in front of us can be made to read it as another one."""
    assert raw(doors, "GET", path, [("Authorization", f"Bearer {role}")]) in {400, 404}


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer admin"), ("Authorization", "Bearer analyst")],
        [("Authorization", "Bearer analyst"), ("Authorization", "Bearer admin")],
        [("Authorization", "Bearer analyst, Bearer admin")],
        [("Authorization", "Bearer analyst"), ("X-Authorization", "Bearer admin")],
        [("Authorization", "Bearer analyst"), ("Proxy-Authorization", "Bearer admin")],
        [("Authorization", "Bearer analyst"), ("X-Forwarded-User", "admin"), ("X-Remote-User", "admin")],
        [("Authorization", "Bearer analyst"), ("X-Original-URL", "/v1/whoami"), ("X-Rewrite-URL", "/v1/whoami")],
        [("Authorization", "Bearer analyst"), ("X-HTTP-Method-Override", "GET"), ("X-Forwarded-For", "127.0.0.1")],
        [("Cookie", "authorization=Bearer admin")],
        [("Authorization", "Basic YWRtaW46YWRtaW4=")],
        [("Authorization", "Bearer")],
        [("Authorization", "admin")],
        [],
    ],
)
def test_no_other_header_makes_somebody_of_the_caller(doors: Admin, headers: list[tuple[str, str]]) -> None:
    """Neither beside the one that counts nor in its place."""
    assert raw(doors, "GET", "/v1/keys", headers) in {400, 401, 403}


@pytest.mark.parametrize("query", ["access_token=admin", "token=admin", "role=admin", "_method=GET", "key=admin"])
def test_credentials_in_an_address_are_none(doors: Admin, query: str) -> None:
    """Addresses are written into logs."""
    assert raw(doors, "GET", f"/v1/keys?{query}", []) == 401


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_a_reader_cannot_write_by_a_header(doors: Admin, header: str) -> None:
    """The method is that of the request line."""
    authorization = ("Authorization", "Bearer analyst")
    assert raw(doors, "GET", "/v1/customers/acme", [authorization, (header, "DELETE")]) == 204
    assert raw(doors, "DELETE", "/v1/customers/acme", [authorization, (header, "GET")]) == 403


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS", "PROPFIND", "get", "PUT"])
def test_another_method_is_none(doors: Admin, method: str) -> None:
    """Whoever asks."""
    assert raw(doors, method, "/v1/keys", [("Authorization", "Bearer admin")]) in {400, 405}


def test_what_is_denied_changes_nothing(store: Store, guarded: Admin) -> None:
    """Not the log, not the feed, not a row."""
    analyst = guarded.bearing(store.change(lambda unit: create_key(unit, "a", ["analyst"]), SYSTEM).text)
    before = snapshot(store)
    for route, who in EXPECTED.items():
        if "analyst" not in who:
            assert ask(analyst, route, "acme") == 403
    assert snapshot(store) == before


def snapshot(store: Store) -> dict[str, Any]:
    """Every row of every table, but for when keys were used."""
    with store.database.reading() as session:
        connection = session.connection()
        return {
            name: sorted(repr(row) for row in connection.execute(table.select()))
            for name, table in SQLModel.metadata.tables.items()
            if name != "api_key"
        }
