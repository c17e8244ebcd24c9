"""A web page that somebody opens on this machine must not reach the sidecar, nor whoever has no token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.serving import Service, customer, get, post
from tests.wire import Connection, request
from tiergate.sidecar.api.request_limits import Access
from tiergate.sidecar.api.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.wire import Answer

CHECK = {"subject": "acme", "feature": "movies"}


def asked(data: bytes, access: Access | None = None, *, uds: bool = False, times: int = 3) -> Answer:
    """Ask a sidecar several times, after somebody else asked it rightly, and give the last answer."""
    service = Service(customer("acme"), access=access)
    with service.serve(uds=uds) as where, Connection(where.connect()) as connection:
        token = {"Authorization": "Bearer secret"} if access is not None and access.tokens else {}
        for _ in range(3):
            assert connection.ask(post("/v1/check", CHECK, headers=token)).status == 200
        return [connection.ask(data) for _ in range(times)][-1]


@pytest.fixture(scope="module")
def local() -> Iterator[Connection]:
    """A connection to a sidecar that was asked rightly before, so that its quick path knows how."""
    with Service(customer("acme")).serve() as where, Connection(where.connect()) as connection:
        for _ in range(3):
            assert connection.ask(post("/v1/check", CHECK)).status == 200
        yield connection


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8437", "LOCALHOST", "127.0.0.1", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:8437"],
)
def test_loopback_has_many_names(local: Connection, host: str) -> None:
    """Whatever somebody on this machine calls it."""
    assert local.ask(post("/v1/check", CHECK, headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8437",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost.",
        "evil-localhost",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "2130706433",
        "0x7f000001",
        "localhost:8437@evil.example",
        "localhost/",
        "",
        "localhost localhost",
        "localhost:port",
        "[::1",
        "::1",
        "xn--lcalhost-9na",
    ],
)
def test_a_page_under_a_name_that_points_here_is_refused(local: Connection, host: str) -> None:
    """That is DNS rebinding: for the browser it is the page's own server."""
    answer = local.ask(post("/v1/check", CHECK, headers={"Host": host}))

    assert answer.status == 421
    assert answer.json()["type"] == "urn:tiergate:problem:foreign-host"


@pytest.mark.parametrize("hosts", [[], ["localhost", "evil.example"], ["evil.example", "localhost"]])
def test_host_must_be_given_once(local: Connection, hosts: list[str]) -> None:
    """Of two, some would believe the first and some the last."""
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    answer = local.ask(f"GET /v1/entitlements?subject=acme HTTP/1.1\r\n{lines}\r\n".encode())

    assert (answer.status, answer.json()["title"]) == (400, "malformed request")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost:8437/v1/entitlements?subject=acme", 200),
        ("http://evil.example/v1/entitlements?subject=acme", 421),
        ("http://localhost@evil.example/v1/entitlements?subject=acme", 400),
        ("https://evil.example:443/v1/entitlements?subject=acme", 421),
        ("ftp://localhost/v1/entitlements?subject=acme", 400),
        ("http:///v1/entitlements?subject=acme", 400),
        ("evil.example/v1/entitlements", 400),
    ],
)
def test_a_host_in_the_target_stands_in_place_of_the_header(target: str, status: int) -> None:
    """RFC 9112, section 3.2.2; so it is the one that is looked at."""
    assert asked(request("GET", target, {"Host": "localhost"}), times=1).status == status


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://localhost",
        "http://localhost:3000",
        "null",
        "file://",
        "http://localhost:84370",
        "",
    ],
)
def test_a_foreign_origin_is_refused(local: Connection, origin: str) -> None:
    """The sidecar serves no pages, so all but its own address is foreign; also another port of this machine."""
    answer = local.ask(post("/v1/check", CHECK, headers={"Origin": origin}))

    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


def test_its_own_origin_may_ask(local: Connection) -> None:
    """Browsers send it with every POST to where a page came from."""
    assert local.ask(post("/v1/check", CHECK, headers={"Origin": "http://localhost:8437"})).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_that_a_foreign_page_makes_is_refused(local: Connection, site: str) -> None:
    """Browsers say so even where they send no origin, as for an image."""
    answer = local.ask(get("/v1/entitlements?subject=acme", headers={"Sec-Fetch-Site": site}))

    assert answer.status == 403


def test_an_address_bar_may_ask(local: Connection) -> None:
    """What a person types is from no page."""
    assert local.ask(get("/v1/entitlements?subject=acme", headers={"Sec-Fetch-Site": "none"})).status == 200


def test_a_page_gets_no_leave_to_ask(local: Connection) -> None:
    """The request that a browser sends beforehand (CORS) is refused, and nothing is allowed."""
    asking = {"Host": "localhost:8437", "Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = local.ask(request("OPTIONS", "/v1/check", asking))

    assert answer.status == 403
    assert not any(name.startswith("access-control-") for name in answer.headers)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_that_a_form_can_send_is_refused(local: Connection, content_type: str) -> None:
    """A page may send these anywhere without asking first."""
    assert local.ask(post("/v1/check", CHECK, headers={"Content-Type": content_type})).status == 415


def test_names_and_origins_can_be_allowed() -> None:
    """Where somebody has set them."""
    access = Access(names=frozenset({"tiergate"}), origins=frozenset({"https://console.example"}))
    sent = {"Host": "tiergate:8437", "Origin": "https://console.example"}

    assert asked(post("/v1/check", CHECK, headers=sent), access).status == 200


def test_addresses_can_be_allowed() -> None:
    """As beyond loopback, where nobody knows which one is used; names stay foreign."""
    access = Access(addresses=True)

    assert asked(post("/v1/check", CHECK, headers={"Host": "10.1.2.3:8437"}), access).status == 200
    assert asked(post("/v1/check", CHECK, headers={"Host": "evil.example"}), access).status == 421


def test_a_unix_socket_takes_any_host() -> None:
    """No web page reaches one."""
    assert asked(post("/v1/check", CHECK, headers={"Host": "x"}), Access(everywhere=True), uds=True).status == 200


@pytest.mark.parametrize(
    "given",
    [
        None,
        "Bearer wrong",
        "Bearer secre",
        "Bearer secrett",
        "Bearer  ",
        "Bearer",
        "Basic secret",
        "secret",
        "Bearer secret, Bearer secret",
        "Bearer SECRET",
        "Bearer s\xe9cret",
    ],
)
def test_who_has_no_token_learns_nothing(given: str | None) -> None:
    """Also right after somebody with a token was answered on the same connection."""
    sent = {} if given is None else {"Authorization": given}
    answer = asked(post("/v1/check", CHECK, headers=sent), Access(tokens=Tokens(b"secret")))

    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="tiergate"')
    assert b"movies" not in answer.body


def test_a_token_that_is_given_twice_is_none() -> None:
    """Of two, some would believe the first and some the last."""
    body = b'{"subject": "acme", "feature": "movies"}'
    head = b"POST /v1/check HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Authorization: Bearer secret\r\nAuthorization: Bearer secret\r\nContent-Length: %d\r\n\r\n" % len(body)

    assert asked(head + body, Access(tokens=Tokens(b"secret"))).status == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_lets_in(scheme: str) -> None:
    """Schemes are written in any case (RFC 9110, section 11.1)."""
    answer = asked(
        post("/v1/check", CHECK, headers={"Authorization": f"{scheme} secret"}), Access(tokens=Tokens(b"secret"))
    )

    assert answer.status == 200


def test_what_one_listener_remembers_another_does_not_answer() -> None:
    """The same bytes are admitted on one and not on the other."""
    unix = Access(everywhere=True)
    data = post("/v1/check", CHECK, headers={"Host": "evil.example"})

    assert asked(data, unix, uds=True).status == 200
    assert asked(data).status == 421


EVALUATED = {
    "subject": {"type": "customer", "id": "acme"},
    "action": {"name": "access"},
    "resource": {"type": "feature", "id": "movies"},
}
FACADES = {
    "flag": post("/ofrep/v1/evaluate/flags/movies", {"context": {"targetingKey": "acme"}}),
    "flags": post("/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "acme"}}),
    "events": get("/ofrep/v1/events?targetingKey=acme"),
    "configuration": get("/ofrep/v1/configuration"),
    "evaluation": post("/access/v1/evaluation", EVALUATED),
    "evaluations": post("/access/v1/evaluations", {**EVALUATED, "evaluations": [{}]}),
    "subjects": post("/access/v1/search/subject", EVALUATED),
    "resources": post("/access/v1/search/resource", EVALUATED),
    "actions": post("/access/v1/search/action", EVALUATED),
    "discovery": get("/.well-known/authzen-configuration"),
}
"""A request of each path of other protocols."""


@pytest.mark.parametrize("name", FACADES)
def test_other_protocols_let_nobody_else_in(name: str) -> None:
    """No token, another host, a foreign page, and what a page may send without asking first: as of the native API."""
    sound = FACADES[name]
    guarded = Access(tokens=Tokens(b"secret"))
    service, other = Service(customer("acme"), access=guarded), Service(customer("acme"))
    with service.serve() as where, Connection(where.connect()) as connection:
        if name != "events":  # which does not end
            with_token = sound.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer secret\r\n\r\n", 1)
            assert [connection.ask(with_token).status for _ in range(3)] == [200] * 3
        assert connection.ask(sound).status == 401
    with other.serve() as where, Connection(where.connect()) as connection:
        assert connection.ask(sound.replace(b"localhost:8437", b"evil.example:8437")).status == 421
        assert connection.ask(sound.replace(b"\r\n\r\n", b"\r\nOrigin: http://evil.example\r\n\r\n", 1)).status == 403
        if sound.startswith(b"POST"):
            assert connection.ask(sound.replace(b"application/json", b"text/plain")).status in {400, 415}
