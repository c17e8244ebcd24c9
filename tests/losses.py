"""How a test accepts what a change takes: it gives back the token that the refusal named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import httpx

_TIMES: Final = 20


def accepting(client: httpx.Client, path: str, body: dict[str, Any], method: str = "POST") -> httpx.Response:
    """Send a change; where it is refused for what customers would lose, send it again and accept that loss.

    Where what begins or ends in between makes another loss of it, that one is accepted then.
    """
    answer = client.request(method, path, json=body)
    for _ in range(_TIMES):
        if answer.status_code != 409 or "accept_loss" not in answer.json():
            break
        answer = client.request(method, path, json={**body, "accept_loss": answer.json()["accept_loss"]})
    return answer
