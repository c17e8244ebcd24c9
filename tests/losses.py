"""How a test accepts what a change takes: it gives back the token that the refusal named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

__all__ = ["accepting"]


def accepting(client: httpx.Client, path: str, body: dict[str, Any], method: str = "POST") -> httpx.Response:
    """Send a change; where it is refused for what customers would lose, send it again and accept that loss."""
    answer = client.request(method, path, json=body)
    if answer.status_code == 409 and "accept_loss" in answer.json():
        answer = client.request(method, path, json={**body, "accept_loss": answer.json()["accept_loss"]})
    return answer
