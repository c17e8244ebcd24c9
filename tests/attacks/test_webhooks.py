"""Webhooks against whoever may choose their URL: nothing of our own network is reached, and no answer does harm."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.receiver import Receiver
from tiergate.control.webhooks.delivery import Attempt, WebhookSender
from tiergate.control.webhooks.webhook_targets import RejectedTargetError, WebhookTargets
from tiergate.store.deliveries import Claim

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_800_000_000_000
PUBLIC = "93.184.215.14"

URLS = {
    "plain http": "http://example.com/",
    "another scheme": "ftp://example.com/",
    "a file": "file:///etc/passwd",
    "gopher": "gopher://example.com/_x",
    "no scheme": "example.com/hook",
    "no host": "https:///hook",
    "only a dot": "https://./hook",
    "a user": "https://admin@example.com/",
    "a user and a password": "https://admin:secret@example.com/",
    "an empty user": "https://@example.com/",
    "a fragment": "https://example.com/#x",
    "a line break": "https://example.com/\r\nHost: inside",
    "a space": "https://exa mple.com/",
    "port 0": "https://example.com:0/",
    "a port that is none": "https://example.com:99999/",
    "a very long one": "https://example.com/" + "a" * 3000,
    "nothing": "",
}

ADDRESSES = {
    "loopback": "127.0.0.1",
    "loopback, another": "127.8.8.8",
    "this host": "0.0.0.0",
    "private 10": "10.0.0.1",
    "private 172": "172.16.0.1",
    "private 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "a cloud's metadata": "169.254.169.254",
    "a cloud's metadata, elsewhere": "100.100.100.200",
    "a cloud's inside behind a public number": "168.63.129.16",
    "link-local": "169.254.0.1",
    "protocol assignments": "192.0.0.192",
    "documentation": "192.0.2.1",
    "benchmarks": "198.18.0.1",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "IPv6 loopback": "::1",
    "IPv6 unspecified": "::",
    "IPv6 link-local": "fe80::1",
    "IPv6 unique local": "fd00:ec2::254",
    "IPv6 site-local": "fec0::1",
    "IPv6 multicast": "ff02::1",
    "IPv6 documentation": "2001:db8::1",
    "IPv4-mapped loopback": "::ffff:127.0.0.1",
    "IPv4-mapped private": "::ffff:10.0.0.1",
    "IPv4-mapped metadata": "::ffff:a9fe:a9fe",
    "IPv4-compatible private": "::10.0.0.1",
    "NAT64 to metadata": "64:ff9b::169.254.169.254",
    "local NAT64": "64:ff9b:1::1",
    "6to4 of a private address": "2002:a00:1::",
    "Teredo of a private address": str(
        ipaddress.IPv6Address((0x2001_0000 << 96) | (0x0808_0808 << 64) | (0x0A00_0001 ^ 0xFFFF_FFFF))
    ),
}

# What the C library takes for an address, though it does not look like one.
DISGUISES = {
    "decimal": "2130706433",
    "hexadecimal": "0x7f000001",
    "octal": "0177.0.0.1",
    "short": "127.1",
    "full-width digits": "\uff11\uff12\uff17.0.0.1",
    "localhost": "localhost",
}


def resolving(*addresses: str) -> WebhookTargets:
    """Destinations where every name resolves to these addresses; nothing is allowed beside public ones."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return WebhookTargets(resolver=resolve)


def send(sender: WebhookSender, url: str) -> Attempt:
    """Make one attempt to deliver to a URL."""

    async def work() -> Attempt:
        try:
            return await sender.send(Claim("msg_1", "wh_1", 1, url, ("whsec_" + "A" * 32,), b"{}"), NOW)
        finally:
            await sender.close()

    return asyncio.run(work())


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_a_url_that_is_not_plainly_one_is_refused(url: str) -> None:
    """It is refused when it is written down, before anything is resolved."""
    with pytest.raises(RejectedTargetError):
        WebhookTargets().check_url(url)


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_inside_is_refused_when_it_is_written_down(address: str) -> None:
    """An address in the URL itself is told at once."""
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(RejectedTargetError):
        WebhookTargets().check_url(f"https://{host}/hook")


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_a_name_of_an_address_inside_is_refused(address: str) -> None:
    """What counts is what the name resolves to."""
    with pytest.raises(RejectedTargetError):
        asyncio.run(resolving(address).find("https://hooks.example/"))


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_one_address_inside_among_public_ones_is_enough(address: str) -> None:
    """Every address of a name is looked at, wherever it stands."""
    with pytest.raises(RejectedTargetError):
        asyncio.run(resolving(PUBLIC, address).find("https://hooks.example/"))


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:5db8:d70e"])
def test_a_public_address_is_taken(address: str) -> None:
    """The refusals are not for everything."""
    found = asyncio.run(resolving(address).find("https://hooks.example:8443/a?b=c"))
    assert (found.addresses, found.name) == ((address,), "hooks.example")


@pytest.mark.parametrize("host", DISGUISES.values(), ids=DISGUISES)
def test_a_disguised_loopback_address_is_not_reached(host: str) -> None:
    """However the system reads it: nobody is connected to."""
    attempt = send(WebhookSender(WebhookTargets()), f"https://{host}/")
    assert attempt.status is None
    assert attempt.answer.startswith(("refused: ", "gaierror: "))


@pytest.mark.parametrize(
    "host",
    [
        *DISGUISES.values(),
        "LocalHost",
        "localhost.",
        "a.localhost",
        "0x7f.1",
        "10.1",
        "0xa9fea9fe",
        "127.0.0.1.",
        "1.2.3.999",
    ],
)
def test_what_can_never_be_delivered_to_is_refused_when_it_is_written_down(host: str) -> None:
    """This machine and addresses inside, in whatever spelling: not after a day of attempts."""
    with pytest.raises(RejectedTargetError):
        WebhookTargets().check_url(f"https://{host}/hook")


@pytest.mark.parametrize(
    ("network", "host"), [("127.0.0.0/8", "localhost"), ("::1/128", "localhost"), ("10.0.0.0/8", "10.1")]
)
def test_what_is_allowed_may_be_spelt_otherwise_too(network: str, host: str) -> None:
    """As systems read it."""
    WebhookTargets([network]).check_url(f"http://{host}/hook")


@pytest.mark.parametrize("host", ["hooks.example", "x123", "123x.example", "3.example", "localhost.example"])
def test_a_name_that_looks_odd_is_one(host: str) -> None:
    """What it resolves to is for the moment of sending."""
    WebhookTargets().check_url(f"https://{host}/hook")


def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    """The name is resolved once, and the connection goes to an address that was looked at."""
    with Receiver.listening() as receiver:
        answers = [["127.0.0.1"], ["127.0.0.2"]]
        asked = 0

        async def rebind(_host: str, _port: int) -> list[str]:
            nonlocal asked
            asked += 1
            return answers.pop(0)

        destinations = WebhookTargets(["127.0.0.1/32"], resolver=rebind)
        assert send(WebhookSender(destinations), receiver.url(host="rebinding.example")).status == 204
        assert asked == 1
        assert receiver.take().headers["host"] == f"rebinding.example:{receiver.port}"
        refused = send(WebhookSender(destinations), receiver.url(host="rebinding.example"))
        assert refused.answer.startswith("refused: `127.0.0.2`")
        assert receiver.count == 0


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://hooks.example/", "10.1.0.1"),
        ("https://hooks.example/", "::ffff:10.1.0.1"),
        ("http://hooks.example/", PUBLIC),
    ],
)
def test_what_is_allowed_is_no_wider_than_it_says(url: str, address: str) -> None:
    """Other private networks stay closed, and plain http is for the allowed one only."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return [address]

    with pytest.raises(RejectedTargetError):
        asyncio.run(WebhookTargets(["10.0.0.0/16"], resolver=resolve).find(url))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_inside_is_not_followed(status: int) -> None:
    """A receiver cannot send us on."""
    with Receiver.listening() as receiver, Receiver.listening() as inside:
        receiver.answer(status, location=inside.url())
        assert send(WebhookSender(WebhookTargets(["127.0.0.0/8"])), receiver.url()).status == status
        assert inside.count == 0


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve the name by itself."""
    with Receiver.listening() as receiver, Receiver.listening() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url("/"))
        assert send(WebhookSender(WebhookTargets(["127.0.0.0/8"])), receiver.url()).status == 204
        assert proxy.count == 0


# ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

ANSWERS = {
    "a body without end": b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n" + b"x" * 65536,
    "a body that unpacks to gigabytes": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + b"\x1f\x8b" * 1000,
}

NONSENSE = {
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"a" * 2_000_000,
    "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n",
    "nothing": b"",
    "a drop, and then silence": b"H",
}


@pytest.fixture
def answering() -> Iterator[tuple[socket.socket, list[bytes]]]:
    """A socket that answers whatever comes with given bytes, and then keeps the connection."""
    answers: list[bytes] = []
    over = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(answers[0])
                if answers[0]:
                    over.wait(30)
            except OSError:
                pass  # hung up on

    thread = threading.Thread(target=work)
    thread.start()
    yield listening, answers
    over.set()
    thread.join()
    listening.close()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_the_body_of_an_answer_is_never_read(answering: tuple[socket.socket, list[bytes]], answer: bytes) -> None:
    """The status is all that counts, whatever follows."""
    listening, answers = answering
    answers.append(answer)
    sender = WebhookSender(WebhookTargets(["127.0.0.0/8"]), timeout=5)
    assert send(sender, f"http://127.0.0.1:{listening.getsockname()[1]}/").status == 200


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
def test_an_answer_that_is_none_is_a_failure(answering: tuple[socket.socket, list[bytes]], answer: bytes) -> None:
    """Too long, too slow or nonsense: the attempt ends by itself, with words for the record."""
    listening, answers = answering
    answers.append(answer)
    sender = WebhookSender(WebhookTargets(["127.0.0.0/8"]), timeout=0.5)
    attempt = send(sender, f"http://127.0.0.1:{listening.getsockname()[1]}/")
    assert attempt.status is None
    assert 0 < len(attempt.answer) <= 200


# ── Certificates ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def certified(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A receiver's TLS for `hooks.example`, and that of a sender who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example")])
    today = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "receiver.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    receiving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    receiving.load_cert_chain(pem)
    return receiving, ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())


@pytest.mark.parametrize(("host", "arrives"), [("hooks.example", True), ("other.example", False)])
def test_the_certificate_must_be_the_names(
    certified: tuple[ssl.SSLContext, ssl.SSLContext], host: str, *, arrives: bool
) -> None:
    """Although the connection goes to an address, whoever answers there must be who the URL names."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    receiving, trusting = certified
    with Receiver.listening(receiving) as receiver:
        sender = WebhookSender(WebhookTargets(["127.0.0.0/8"], resolver=resolve), tls=trusting)
        attempt = send(sender, receiver.url(host=host, scheme="https"))
        assert (attempt.status == 204) is arrives
        assert receiver.count == arrives
        if not arrives:
            assert "certificate verify failed" in attempt.answer


def test_a_certificate_that_nobody_vouches_for_is_refused(certified: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Being at the address is not enough."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    with Receiver.listening(certified[0]) as receiver:
        sender = WebhookSender(WebhookTargets(["127.0.0.0/8"], resolver=resolve))
        assert "certificate verify failed" in send(sender, receiver.url(host="hooks.example", scheme="https")).answer
        assert receiver.count == 0
