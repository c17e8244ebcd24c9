"""`tiergate cluster create-secrets` against a real API server, with the rights that the chart gives it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.kubernetes.cluster import PATIENCE
from tiergate.bundle import SigningKey
from tiergate.cli.exit_codes import ExitCode
from tiergate.store.keys import is_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kubernetes.cluster import Cluster

pytestmark = pytest.mark.serial

NAMES: Final = ("--signing-key", "signing", "--admin-key", "admin", "--json")
AT_ONCE: Final = 6


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """Give a namespace of the test's own, with an account `maker` that may create Secrets, and nothing else."""
    name = cluster.namespace(request.node.name.replace("_", "-").removeprefix("test-")[:40].strip("-"))
    cluster.service_account(name, "maker")
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}"
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "maker"}}
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]
    cluster.post(f"{rbac}/roles", {**head, "kind": "Role", "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "maker"}
    subjects = [{"kind": "ServiceAccount", "name": "maker", "namespace": name}]
    cluster.post(f"{rbac}/rolebindings", {**head, "kind": "RoleBinding", "roleRef": role, "subjects": subjects})
    return name


@pytest.fixture
def begin(cluster: Cluster, namespace: str, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Give what begins the command as a pod of an account would."""

    def call(*arguments: str, account: str = "maker") -> subprocess.Popen[str]:
        folder = tmp_path / account
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(cluster.token(namespace, account))
        (folder / "ca.crt").write_text(cluster.authority.read_text())
        (folder / "namespace").write_text(namespace)
        return subprocess.Popen(
            [sys.executable, "-m", "tiergate", "cluster", "create-secrets", *arguments, "--service-account", folder],
            env={**os.environ, "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(cluster.port)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return call


def created(process: subprocess.Popen[str]) -> dict[str, bool]:
    """Wait for the end; which Secrets it created, and which it found."""
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.OK, err
    return {one["name"]: one["created"] for one in json.loads(out)["secrets"]}


def secrets(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """All Secrets of a namespace, by name."""
    found = cluster.get(f"/api/v1/namespaces/{namespace}/secrets")["items"]
    return {one["metadata"]["name"]: one for one in found}


def value(secret: dict[str, Any], key: str) -> str:
    """One value of a Secret."""
    return base64.b64decode(secret["data"][key]).decode()


def test_they_are_what_a_control_plane_needs(
    cluster: Cluster, namespace: str, begin: Callable[..., subprocess.Popen[str]]
) -> None:
    """A key to sign with, the public half beside it, and an API key."""
    assert created(begin(*NAMES)) == {"signing": True, "admin": True}
    found = secrets(cluster, namespace)
    assert found.keys() == {"signing", "admin"}
    key = SigningKey.from_pem(value(found["signing"], "signing-key.pem"))
    assert value(found["signing"], "public-key.pem") == key.verify_key.to_pem()
    assert is_key(value(found["admin"], "admin.key").strip())


def test_what_is_there_stays_as_it_is(
    cluster: Cluster, namespace: str, begin: Callable[..., subprocess.Popen[str]]
) -> None:
    """A second run creates what is missing, and touches nothing else, whatever it holds."""
    foreign = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "admin"}, "data": {"other": "eA=="}}
    before = cluster.post(f"/api/v1/namespaces/{namespace}/secrets", foreign)
    assert created(begin(*NAMES)) == {"signing": True, "admin": False}
    first = secrets(cluster, namespace)
    assert first["admin"].items() <= before.items()
    assert created(begin(*NAMES)) == {"signing": False, "admin": False}
    assert secrets(cluster, namespace) == first


def test_of_several_at_once_one_creates_each(
    cluster: Cluster, namespace: str, begin: Callable[..., subprocess.Popen[str]]
) -> None:
    """All succeed, and afterwards there is one key, with its own public half."""
    outcomes = [created(one) for one in [begin(*NAMES) for _ in range(AT_ONCE)]]
    assert {name: sum(one[name] for one in outcomes) for name in ("signing", "admin")} == {"signing": 1, "admin": 1}
    signing = secrets(cluster, namespace)["signing"]
    key = SigningKey.from_pem(value(signing, "signing-key.pem"))
    assert value(signing, "public-key.pem") == key.verify_key.to_pem()
    assert "resourceVersion" in signing["metadata"]
    assert len(signing["metadata"]["managedFields"]) == 1, "it was written once"


def test_without_the_right_it_says_so(
    cluster: Cluster, namespace: str, begin: Callable[..., subprocess.Popen[str]]
) -> None:
    """In the API server's words, which name the account and what it lacks; nothing of a secret is shown."""
    process = begin(*NAMES, account="default")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.OPERATOR
    assert f"system:serviceaccount:{namespace}:default" in out + err
    assert "cannot create resource" in out + err
    assert "PRIVATE KEY" not in out + err
    assert secrets(cluster, namespace) == {}
