"""Sidecars that no injector makes, in a real cluster: by a chart of one's own, and one per node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.admissions import PUBLIC_KEY
from tests.control_planes import free_port
from tests.helm.example_chart import assembled
from tests.kubernetes.conftest import CHART
from tests.system.processes import check_request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kubernetes.cluster import Cluster
    from tests.kubernetes.conftest import Helm
    from tests.kubernetes.node import Node

pytestmark = pytest.mark.serial

ENFORCE: Final = "pod-security.kubernetes.io/enforce"


def values(folder: Path, **said: object) -> Path:
    """Write values to a file."""
    path = folder / "values.yaml"
    path.write_text(json.dumps(said), encoding="utf-8")
    return path


def template(cluster: Cluster, namespace: str, kind: str, name: str) -> Any:  # noqa: ANN401 - a part of an object
    """The template of a workload's pods, as the API server has it."""
    return cluster.get(f"/apis/apps/v1/namespaces/{namespace}/{kind}/{name}")["spec"]["template"]


def test_a_chart_of_ones_own_makes_pods_that_a_restricted_namespace_takes(
    cluster: Cluster, node: Node, helm: Helm, tmp_path: Path
) -> None:
    """And the API server leaves their sidecar as the chart says it, a native one."""
    namespace = cluster.namespace("own-charts", **{ENFORCE: "restricted"})
    said = values(tmp_path, tiergate={"sidecar": {"publicKeys": [PUBLIC_KEY]}})
    helm("install", "shop", assembled(tmp_path), "--namespace", namespace, "--values", said)
    pod = node.create_pod(namespace, "shop-0", template(cluster, namespace, "deployments", "shop"))
    (sidecar,) = pod["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("tiergate", "Always")
    keys = [it["value"] for it in sidecar["env"] if it["name"] == "TIERGATE_PUBLIC_KEY_PEM"]
    assert keys == [PUBLIC_KEY]


def test_such_a_pod_starts_while_the_control_plane_is_away(
    cluster: Cluster, node: Node, helm: Helm, tmp_path: Path
) -> None:
    """Its sidecar has started after the deadline of the values, and denies: the pod goes on, and gets no callers."""
    namespace = cluster.namespace("away")
    plane = f"http://127.0.0.1:{free_port()}"
    sidecar = {"publicKeys": [PUBLIC_KEY], "controlPlane": {"url": plane}, "startupDeadline": 1}
    said = values(tmp_path, tiergate={"sidecar": sidecar})
    helm("install", "shop", assembled(tmp_path), "--namespace", namespace, "--values", said)
    pod = node.create_pod(namespace, "shop-0", template(cluster, namespace, "deployments", "shop"))
    with node.start(pod, "tiergate") as process:
        process.event("startup deadline passed; serving checks without data")
        assert (process.probe("/startupz")[0], process.probe("/readyz")[0]) == (200, 503)
        answer = json.loads(process.ask(check_request("ada")).body)
    assert (answer["allowed"], answer["reason"]) == (False, "stale_data")


def test_pods_of_the_daemon_set_need_a_namespace_that_allows_folders_of_the_node(
    cluster: Cluster, node: Node, helm: Helm, tmp_path: Path
) -> None:
    """The folders are all that a `baseline` one holds against them; one that allows everything takes them."""
    said = values(
        tmp_path,
        controlPlane={"enabled": False},
        sidecar={"controlPlane": {"url": "https://entitlements.shop.example"}, "publicKeys": [PUBLIC_KEY]},
        daemonset={"enabled": True},
    )
    confined = cluster.namespace("confined-nodes", **{ENFORCE: "baseline"})
    allowed = cluster.namespace("nodes", **{ENFORCE: "privileged"})
    for namespace in (confined, allowed):
        helm("install", "tiergate", CHART, "--namespace", namespace, "--values", said)
    made = template(cluster, allowed, "daemonsets", "tiergate-daemonset")
    pod = node.create_pod(allowed, "tiergate-daemonset-0", made)
    assert [it["name"] for it in pod["spec"]["containers"]] == ["tiergate"]
    with pytest.raises(AssertionError, match=r"violates PodSecurity \S+ hostPath volumes \([^)]*\)\"") as refused:
        node.create_pod(confined, "tiergate-daemonset-0", made)
    assert "capabilities" not in str(refused.value)
