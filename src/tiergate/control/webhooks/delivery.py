"""One attempt to deliver: signed by Standard Webhooks, sent to an address that was checked, and what came back.

Only the status of the answer is looked at, its body never: no redirect is followed, and no proxy of the environment
used. Whether and when to try again is for the dispatcher to say.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx
from standardwebhooks import Webhook

from tiergate import __version__
from tiergate.control.webhooks.webhook_targets import RejectedTargetError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping

    from tiergate.control.webhooks.webhook_targets import WebhookTargets
    from tiergate.model import Instant
    from tiergate.store.deliveries import Claim

_TIMEOUT: Final = 15.0  # seconds for all of an attempt: resolving, connecting, sending, and the head of the answer
_MAX_ANSWER: Final = 200
_MAX_RETRY_AFTER: Final = 4 * 60 * 60


class Attempt(NamedTuple):
    """What an attempt met with: the status, if there was an answer; words for the record; seconds to wait at least."""

    status: int | None
    answer: str
    retry_after: int = 0


class WebhookSender:
    """Sends what is claimed. To be closed."""

    def __init__(
        self, destinations: WebhookTargets, *, tls: ssl.SSLContext | None = None, timeout: float = _TIMEOUT
    ) -> None:
        """Prepare. `tls`: whose certificates to trust, by default those that browsers do; `timeout` in seconds."""
        self._destinations = destinations
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            verify=httpx.create_ssl_context() if tls is None else tls,
            trust_env=False,
            follow_redirects=False,
            timeout=timeout,
            # A connection is for one name: two names behind one address must not share it.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def send(self, claim: Claim, now: Instant) -> Attempt:
        """Make one attempt. Whatever goes wrong on the way is part of what is returned."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(claim, now)
        except TimeoutError:
            return Attempt(None, f"no answer within {self._timeout:g} seconds")
        except RejectedTargetError as error:
            return Attempt(None, f"refused: {error}"[:_MAX_ANSWER])
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Attempt(None, f"{type(error).__name__}: {error}"[:_MAX_ANSWER])

    async def _send(self, claim: Claim, now: Instant) -> Attempt:
        found = await self._destinations.find(claim.url)
        headers = {
            "host": found.url.netloc.decode("ascii"),
            "content-type": "application/json",
            "user-agent": f"tiergate/{__version__}",
            "accept-encoding": "identity",
            **signature_headers(claim.id, claim.payload, claim.secrets, now),
        }
        unreachable: httpx.HTTPError | None = None
        for address in found.addresses:
            request = self._client.build_request(
                "POST",
                found.url.copy_with(host=address),
                content=claim.payload,
                headers=headers,
                extensions={"sni_hostname": found.name},
            )
            try:
                response = await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                unreachable = error
                continue
            await response.aclose()
            return Attempt(response.status_code, str(response.status_code), _retry_after(response.headers))
        if unreachable is None:
            raise RejectedTargetError("there is no address")
        raise unreachable

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()


def signature_headers(id_: str, payload: bytes, secrets: Iterable[str], now: Instant) -> dict[str, str]:
    """The three headers of Standard Webhooks, with a signature by each secret, at an instant."""
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
