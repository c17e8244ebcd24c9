"""Where egress is through a proxy: issuers' keys and webhooks are fetched and sent through it."""

from __future__ import annotations

import asyncio

import pytest

from tests.proxies import recording_proxy
from tiergate.control.auth.jwks import IssuerKeys, JwksError
from tiergate.control.webhooks.delivery import WebhookSender
from tiergate.control.webhooks.webhook_targets import WebhookTargets
from tiergate.store.deliveries import Claim


def attempt(sender: WebhookSender, url: str) -> str:
    """What becomes of an event to a URL."""
    claim = Claim("dlv_1", "wh_1", 1, url, ("whsec_" + "A" * 32,), b"{}")

    async def send() -> str:
        try:
            return (await sender.send(claim, 0)).answer
        finally:
            await sender.close()

    return asyncio.run(send())


@pytest.mark.parametrize("excepted", [False, True])
def test_the_keys_of_issuers_come_through_the_proxy_of_the_environment(
    excepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the environment excepts the host; a cluster's own issuer is inside."""
    with recording_proxy() as (url, lines):
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.setenv("NO_PROXY", "login.invalid" if excepted else "")
        keys = IssuerKeys("https://login.invalid/keys")
        with pytest.raises(JwksError):
            keys.find("key", "RS256")
    assert lines == ([] if excepted else ["CONNECT login.invalid:443 HTTP/1.1"])


def test_keys_on_this_machine_need_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is never behind one."""
    with recording_proxy() as (url, lines):
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("ALL_PROXY", url)
        with pytest.raises(JwksError):
            IssuerKeys("http://127.0.0.1:9/keys").find("key", "RS256")
    assert lines == []


def test_webhooks_go_through_the_proxy_that_is_set() -> None:
    """By name: the proxy resolves it. One of the environment is not used, and internal addresses stay refused."""
    with recording_proxy() as (url, lines):
        assert "403" in attempt(WebhookSender(WebhookTargets(), proxy=url), "https://hooks.invalid:8443/a")
        assert attempt(WebhookSender(WebhookTargets(), proxy=url), "https://10.0.0.1/").startswith("refused: ")
        assert attempt(WebhookSender(WebhookTargets(), proxy=url), "https://localhost/").startswith("refused: ")
    assert lines == ["CONNECT hooks.invalid:8443 HTTP/1.1"]


def test_a_proxy_of_the_environment_is_not_used_for_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would reach addresses that we must check."""
    with recording_proxy() as (url, lines):
        monkeypatch.setenv("HTTPS_PROXY", url)
        attempt(WebhookSender(WebhookTargets()), "https://hooks.invalid/")
    assert lines == []


def test_what_is_no_proxy_is_refused_at_the_start() -> None:
    """With the setting's name, at the edge."""
    with pytest.raises(ValueError, match="proxy"):
        WebhookSender(WebhookTargets(), proxy="proxy:3128")
