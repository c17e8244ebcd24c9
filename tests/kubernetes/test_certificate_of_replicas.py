"""The certificate that the injector's replicas share, at a real API server, with the rights that the chart gives."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tiergate.cluster.injector.webhook_registration import WebhookRegistration
from tiergate.cluster.kubernetes_api import KubernetesApi, Secret, secret_path, webhook_path
from tiergate.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kubernetes.cluster import Cluster

RBAC = "/apis/rbac.authorization.k8s.io/v1"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


@pytest.fixture
def folder(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A pod's folder, of an account that may do what the chart's injector may; its namespace is the webhook's name."""
    name = request.node.name.replace("_", "-")[:40].rstrip("-")
    cluster.namespace(name)
    cluster.service_account(name, "injector")
    hook = {
        "name": "inject.tiergate.dev",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"service": {"name": "injector", "namespace": name, "path": "/inject"}},
        "objectSelector": {"matchLabels": {"tiergate.dev/inject": "never"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    }
    cluster.post(WEBHOOKS, {"metadata": {"name": name}, "webhooks": [hook]})
    within = [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["tls"], "verbs": ["get", "patch"]},
    ]
    group = "admissionregistration.k8s.io"
    wide = [
        {
            "apiGroups": [group],
            "resources": ["mutatingwebhookconfigurations"],
            "resourceNames": [name],
            "verbs": ["get", "patch"],
        }
    ]
    whom = {"subjects": [{"kind": "ServiceAccount", "name": "injector", "namespace": name}]}
    for place, kind, rules in (
        (f"{RBAC}/namespaces/{name}/role", "Role", within),
        (f"{RBAC}/clusterrole", "ClusterRole", wide),
    ):
        cluster.post(f"{place}s", {"metadata": {"name": name}, "rules": rules})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        cluster.post(f"{place}bindings", {"metadata": {"name": name}, "roleRef": reference, **whom})
    (tmp_path / "token").write_text(cluster.token(name, "injector"))
    (tmp_path / "namespace").write_text(name)
    (tmp_path / "ca.crt").write_text(cluster.authority.read_text())
    return tmp_path


def replica(cluster: Cluster, folder: Path, opened: ExitStack) -> WebhookRegistration:
    """One of several."""
    api = opened.enter_context(KubernetesApi(cluster.url, folder))
    return WebhookRegistration(api, secret="tls", webhook=api.namespace, names=[f"injector.{api.namespace}.svc"])


def test_replicas_that_start_at_once_agree(cluster: Cluster, folder: Path) -> None:
    """There is one certificate, and the webhook trusts whom it is made by."""
    with ExitStack() as opened:
        replicas = [replica(cluster, folder, opened) for _ in range(6)]
        with ThreadPoolExecutor(6) as threads:
            (brought,) = set(threads.map(lambda one: one.update(), replicas))
        name = (folder / "namespace").read_text()
        api = opened.enter_context(KubernetesApi(cluster.url, folder))
        kept = api.read(secret_path(name, "tls"), Secret)
        assert kept is not None
        assert kept.data == brought.to_secret()
        (hook,) = cluster.get(webhook_path(name))["webhooks"]
        assert base64.b64decode(hook["clientConfig"]["caBundle"]).decode() == brought.authorities
        before = cluster.get(webhook_path(name))["metadata"]["resourceVersion"]
        assert replicas[0].update() == brought
        assert cluster.get(webhook_path(name))["metadata"]["resourceVersion"] == before


def test_what_was_taken_away_is_put_back(cluster: Cluster, folder: Path) -> None:
    """The Secret is made anew, and the webhook told."""
    with ExitStack() as opened:
        one = replica(cluster, folder, opened)
        first = one.update()
        name = (folder / "namespace").read_text()
        cluster.delete(secret_path(name, "tls"))
        second = one.update()
        assert second.authorities != first.authorities
        assert one.update() == second


def test_what_the_chart_does_not_allow_is_refused(cluster: Cluster, folder: Path) -> None:
    """Another Secret of the namespace cannot be read, and that is said with the server's words."""
    with KubernetesApi(cluster.url, folder) as api, pytest.raises(ClusterError, match="forbidden") as refused:
        api.read(secret_path(api.namespace, "other"), Secret)
    assert refused.value.status == 403
