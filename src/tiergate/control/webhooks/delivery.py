"""One delivery attempt: sign an event by Standard Webhooks, send it to a checked address, return the result.

Only the status of the response counts, its body is not read. Redirects are not followed, and no proxy of the
environment is used, only one that the operator sets for webhooks: then the proxy resolves names, and decides which
addresses may be reached. The dispatcher decides whether and when to retry.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx
from standardwebhooks import Webhook

from tiergate import __version__
from tiergate.control.webhooks.webhook_targets import RejectedTargetError, WebhookTarget

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping

    from tiergate.control.webhooks.webhook_targets import WebhookTargets
    from tiergate.model import Instant
    from tiergate.store.deliveries import Claim

_TIMEOUT: Final = 15.0  # seconds for a whole attempt: resolve, connect, send, and receive the head of the response
_MAX_ANSWER: Final = 200
_MAX_RETRY_AFTER: Final = 4 * 60 * 60


class Attempt(NamedTuple):
    """The result of an attempt: the status of the response, a text for the record, minimum seconds until a retry."""

    status: int | None
    answer: str
    retry_after: int = 0


class WebhookSender:
    """Sends claimed deliveries. Close it at the end."""

    def __init__(
        self,
        targets: WebhookTargets,
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float = _TIMEOUT,
        proxy: str | None = None,
    ) -> None:
        """Send nothing yet. `tls`: the trusted CA certificates, by default those of browsers; `timeout` in seconds.

        `proxy`: the URL of an HTTP proxy.

        Raises:
            ValueError: `proxy` is not such a URL.
        """
        self._targets = targets
        self._has_proxy = proxy is not None
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            verify=httpx.create_ssl_context() if tls is None else tls,
            trust_env=False,
            proxy=proxy,
            follow_redirects=False,
            timeout=timeout,
            # A connection is for one name: two names behind one address must not share it.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def send(self, claim: Claim, now: Instant) -> Attempt:
        """Make one attempt; never raises, failures are results."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(claim, now)
        except TimeoutError:
            return Attempt(None, f"no response within {self._timeout:g} seconds")
        except RejectedTargetError as error:
            return Attempt(None, f"refused: {error}"[:_MAX_ANSWER])
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Attempt(None, f"{type(error).__name__}: {error}"[:_MAX_ANSWER])

    async def _send(self, claim: Claim, now: Instant) -> Attempt:
        target = await self._find(claim.url)
        headers = {
            "host": target.url.netloc.decode("ascii"),
            "content-type": "application/json",
            "user-agent": f"tiergate/{__version__}",
            "accept-encoding": "identity",
            **signature_headers(claim.id, claim.payload, claim.secrets, now),
        }
        unreachable: httpx.HTTPError | None = None
        for address in target.addresses:
            request = self._client.build_request(
                "POST",
                target.url.copy_with(host=address),
                content=claim.payload,
                headers=headers,
                extensions={"sni_hostname": target.name},
            )
            try:
                response = await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                unreachable = error
                continue
            await response.aclose()
            return Attempt(response.status_code, str(response.status_code), _retry_after(response.headers))
        if unreachable is None:
            raise RejectedTargetError("no address")
        raise unreachable

    async def _find(self, url: str) -> WebhookTarget:
        if not self._has_proxy:
            return await self._targets.find(url)
        checked = self._targets.check_url(url)
        return WebhookTarget(checked, (checked.host,), checked.raw_host.decode("ascii"))

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()


def signature_headers(id_: str, payload: bytes, secrets: Iterable[str], now: Instant) -> dict[str, str]:
    """Return the headers of Standard Webhooks, with a signature by each secret, for an instant."""
    at = datetime.fromtimestamp(now // 1000, UTC)
    body = payload.decode()
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(now // 1000),
        "webhook-signature": " ".join(Webhook(secret).sign(id_, at, body) for secret in secrets),
    }


def _retry_after(headers: Mapping[str, str]) -> int:
    text = headers.get("retry-after", "")
    return min(int(text), _MAX_RETRY_AFTER) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
