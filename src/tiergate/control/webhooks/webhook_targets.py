"""The URLs and addresses that events may be sent to.

A webhook's URL must not open our own network: only `https` to public addresses is allowed, and `http` too in the
networks that the operator allows. A name is resolved for each attempt and every address of it is checked; the
connection is then made to a checked address, so that a name that changes meanwhile gains nothing.

A target that is not allowed is a `RejectedTargetError`; a name that cannot be resolved now is an `OSError`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Resolver = Callable[[str, int], Awaitable[list[str]]]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_URL: Final = 2048
_PORTS: Final = {"https": 443, "http": 80}

_HOST: Final = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|[0-9A-Fa-f:.]{2,45}")

_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOOPBACK: Final = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))
_LOOPBACK_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})

# Networks that some version of Python considers public, and that are not.
_INTERNAL: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # inside of a cloud
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # former 6to4 relays
        "64:ff9b:1::/48",  # local NAT64
        "fec0::/10",  # former site-local
    )
)
# IPv6 networks whose addresses end with the IPv4 address that packets reach.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


class RejectedTargetError(ValueError):
    """Events cannot be sent there; the message has the reason."""


class WebhookTarget(NamedTuple):
    """A checked URL: the addresses to connect to, and the name for the certificate."""

    url: httpx.URL
    addresses: tuple[str, ...]
    name: str


class WebhookTargets:
    """Checks URLs. `allowed`: networks besides the public ones, such as `10.0.0.0/8`."""

    def __init__(self, allowed: Iterable[str] = (), *, resolver: Resolver | None = None) -> None:
        """Parse the networks; an invalid one is a `ValueError`."""
        self._allowed: tuple[Network, ...] = tuple(ipaddress.ip_network(network) for network in allowed)
        self._resolve = resolve if resolver is None else resolver

    def check_url(self, text: str) -> httpx.URL:
        """Check a URL without resolving its name."""
        if len(text) > _MAX_URL:
            raise RejectedTargetError(f"a URL has at most {_MAX_URL} characters")
        try:
            url = httpx.URL(text)
            port = url.port
        except (httpx.InvalidURL, ValueError) as error:
            raise RejectedTargetError(f"is not a URL: {error}") from None
        if url.scheme not in _PORTS or (url.scheme == "http" and not self._allowed):
            raise RejectedTargetError("the URL must begin with `https://`")
        if not _HOST.fullmatch(url.raw_host) or (port is not None and not 0 < port < 65536):
            raise RejectedTargetError("the URL must name a host, and a port from 1 to 65535 if any")
        if "@" in re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]:
            raise RejectedTargetError("the URL must have no user and no password")
        if url.fragment:
            raise RejectedTargetError("the URL must have no fragment (`#`)")
        name = url.host.rstrip(".").lower()
        literal = _address(name) or _legacy_ipv4(name)
        if literal is not None:
            self._check_address(literal, url.scheme)
        elif _NUMBER.fullmatch(name.rpartition(".")[2]):
            raise RejectedTargetError(f"`{url.host}` is neither a name nor an address")
        elif (name in _LOOPBACK_NAMES or name.endswith(".localhost")) and not any(
            address in network for network in self._allowed for address in _LOOPBACK
        ):
            raise RejectedTargetError(f"`{name}` is this machine, which is not in an allowed network")
        return url

    async def find(self, text: str) -> WebhookTarget:
        """Check a URL and resolve its name, once."""
        url = self.check_url(text)
        name = url.raw_host.decode("ascii")
        resolved = await self._resolve(name, url.port or _PORTS[url.scheme])
        addresses = [_address(address) for address in resolved]
        if not addresses:
            raise RejectedTargetError(f"`{name}` has no address")
        for address in addresses:
            if address is None:
                raise RejectedTargetError(f"`{name}` resolves to an invalid address")
            self._check_address(address, url.scheme)
        return WebhookTarget(url, tuple(str(address) for address in addresses), name)

    def _check_address(self, address: Address, scheme: str) -> None:
        effective = _effective_address(address)
        if any(effective in network for network in self._allowed):
            return
        is_internal = any(effective in network for network in _INTERNAL)
        if is_internal or not effective.is_global or effective.is_multicast or effective.is_reserved:
            raise RejectedTargetError(f"`{address}` is not a public address, and not in an allowed network")
        if scheme != "https":
            raise RejectedTargetError(f"`{address}` is a public address: the URL must begin with `https://`")


async def resolve(host: str, port: int) -> list[str]:
    """Resolve all addresses of a name with the system's resolver."""
    results = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    return list(dict.fromkeys(str(address[0]) for *_, address in results))


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _legacy_ipv4(name: str) -> Address | None:
    """Return the IPv4 address that systems read from a name: one number, fewer parts, octal or hexadecimal parts."""
    if _NUMBER.fullmatch(name.rpartition(".")[2]) is None:
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except OSError:
        return None


def _effective_address(address: Address) -> Address:
    """Return the address that packets reach: the IPv4 address inside of an IPv6 address, if there is one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    embedding = address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if embedding else address
