"""The chart with PostgreSQL and several replicas, in a real cluster: the schema is brought up before anything runs."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.kubernetes.conftest import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.databases import PostgresServer
    from tests.kubernetes.cluster import Cluster
    from tests.kubernetes.conftest import Helm
    from tests.kubernetes.node import Node
    from tests.system.processes import Process

pytestmark = pytest.mark.serial

NAMESPACE: Final = "replicated"
SET: Final = (
    "--set=controlPlane.database.type=postgresql",
    "--set=controlPlane.database.postgresql.existingSecret=database",
    "--set=controlPlane.replicas=2",
)


@pytest.fixture(scope="module")
def install(cluster: Cluster, helm: Helm, postgres: PostgresServer) -> Iterator[None]:
    """Install the chart on an empty database."""
    cluster.namespace(NAMESPACE, **{"pod-security.kubernetes.io/enforce": "restricted"})
    with postgres.database() as url:
        values = {"url": base64.b64encode(url.encode()).decode()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "database"}, "data": values}
        cluster.post(f"/api/v1/namespaces/{NAMESPACE}/secrets", secret)
        upgrade(helm)
        yield


@pytest.fixture(scope="module")
def replicas(node: Node, install: None) -> Iterator[tuple[Process, ...]]:
    """Give two replicas that serve."""
    assert install is None
    with ExitStack() as opened:
        serve = (NAMESPACE, "tiergate-control-plane", "control-plane")
        yield tuple(opened.enter_context(node.serve(*serve)) for _ in range(2))


def upgrade(helm: Helm) -> None:
    """Install the release, or upgrade it to what it is."""
    helm("upgrade", "--install", "tiergate", CHART, "--namespace", NAMESPACE, *SET)


def migrations(node: Node) -> list[tuple[int, str]]:
    """How the Jobs ended that brought the schema up."""
    return [(code, said) for name, code, said in node.ran if name.startswith("tiergate-migration-")]


def test_replicas_start_on_a_schema_that_a_job_made(node: Node, replicas: tuple[Process, ...]) -> None:
    """It ran once; no replica had to, or may."""
    [(code, said)] = migrations(node)
    assert code == 0, said
    stores = {one.event("listening")["store"] for one in replicas}
    assert len(stores) == 1
    assert stores.pop() in said


def test_replicas_know_the_same_first_admin(cluster: Cluster, replicas: tuple[Process, ...]) -> None:
    """Whichever of them took the key from the Secret."""
    secret = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/tiergate-admin-key")
    headers = {"authorization": f"Bearer {base64.b64decode(secret['data']['admin.key']).decode().strip()}"}
    for one in replicas:
        url = one.event("listening")["api"]
        assert httpx.get(f"{url}/v1/whoami", headers=headers, trust_env=False).json()["roles"] == ["admin"]
    assert sum(len(one.events("first admin's key registered")) for one in replicas) == 1


def test_an_upgrade_brings_the_schema_up_once_more(node: Node, helm: Helm, replicas: tuple[Process, ...]) -> None:
    """While replicas serve, and without harm where there is nothing to do."""
    before = len(migrations(node))
    upgrade(helm)
    assert [code for code, _ in migrations(node)[before:]] == [0]
    assert all(httpx.get(f"{one.event('listening')['api']}/readyz", trust_env=False).is_success for one in replicas)
