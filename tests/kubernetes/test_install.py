"""The chart in a real cluster: installed, served, asked by pods that the injector changed, upgraded onto itself."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
import yaml

from tests.certificates import certify, trusting
from tests.kubernetes.conftest import CHART
from tests.system.processes import check_request
from tiergate.cli.control_plane_client import ControlPlane
from tiergate.cli.local_stack import load_sample
from tiergate.cli.sample_catalog import copy_sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kubernetes.cluster import Cluster
    from tests.kubernetes.conftest import Helm
    from tests.kubernetes.node import Node

pytestmark = pytest.mark.serial

RELEASE: Final = "tiergate"
PLANS: Final = "plans"
SHOP: Final = "shop"
SET: Final = (
    "--set=injector.enabled=true",
    "--set=sidecar.startupDeadline=5",
    "--set=controlPlane.issuers.kubernetes.sidecars={shop:*}",
    "--set=controlPlane.tls.mode=secret",
    "--set=controlPlane.tls.existingSecret=plane-tls",
    "--set=sidecar.controlPlane.caFromTlsSecret=true",
)
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}
LABELLED: Final = {"tiergate.dev/inject": "true"}
CONFINED: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


class Release:
    """The chart, installed in namespace `plans`, with what it runs; and a namespace `shop` that it knows.

    The control plane speaks HTTPS, with a certificate of an authority that only the chart's sidecars are told of.
    """

    def __init__(self, cluster: Cluster, node: Node, helm: Helm, folder: Path) -> None:
        self.cluster = cluster
        self.node = node
        self.helm = helm
        cluster.namespace(PLANS, **RESTRICTED)
        cluster.namespace(SHOP, **RESTRICTED)
        self.certificate, key = certify(folder)
        values = {"tls.crt": self.certificate, "tls.key": key, "ca.crt": self.certificate}
        encoded = {name: base64.b64encode(path.read_bytes()).decode() for name, path in values.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "plane-tls"}, "data": encoded}
        cluster.post(f"/api/v1/namespaces/{PLANS}/secrets", {**body, "type": "kubernetes.io/tls"})
        self.install()
        self.plane = node.serve(PLANS, "tiergate-control-plane", "control-plane")
        address = self.plane.event("listening")["api"]
        node.names[f"https://tiergate-control-plane.{PLANS}.svc:8440"] = address
        self.url = str(address)
        self.injector = node.serve(PLANS, "tiergate-injector", "injector")
        self._reach_injector()

    def install(self) -> None:
        """Install it, or upgrade it to what it is."""
        self.helm("upgrade", "--install", RELEASE, CHART, "--namespace", PLANS, *SET)

    def objects(self) -> dict[str, Any]:
        """Every object of the release as it is in the cluster, hooks left out, by its path."""
        said = self.helm("get", "manifest", RELEASE, "--namespace", PLANS)
        return {path: self.cluster.get(path) for path in map(_path, filter(None, yaml.safe_load_all(said)))}

    def secret(self, name: str, key: str) -> str:
        """A value of a Secret of the release."""
        return base64.b64decode(self.secrets()[name]["data"][key]).decode()

    def secrets(self) -> dict[str, Any]:
        """The Secrets beside Helm's own, by name."""
        found = self.cluster.get(f"/api/v1/namespaces/{PLANS}/secrets")["items"]
        return {one["metadata"]["name"]: one for one in found if not one["type"].startswith("helm.sh/")}

    def try_pod(
        self, name: str, *, labels: dict[str, str], annotations: dict[str, str] | None = None
    ) -> httpx.Response:
        """Create a pod in `shop`, as a team there would; what the API server answers."""
        container = {"name": "app", "image": "shop", "securityContext": CONFINED}
        metadata = {"name": name, "labels": labels, "annotations": annotations or {}}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
        return self.cluster.api.post(f"/api/v1/namespaces/{SHOP}/pods", json=body)

    def restart_injector(self) -> None:
        """Start the injector anew, after it was ended."""
        self.injector.__exit__()
        self.injector = self.node.serve(PLANS, "tiergate-injector", "injector")
        self._reach_injector()

    def client(self, token: str) -> httpx.Client:
        """A client of the control plane, with a key or a token."""
        headers = {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, verify=trusting(self.certificate), trust_env=False)

    def close(self) -> None:
        """End what it runs."""
        for process in (self.injector, self.plane):
            process.__exit__()

    def _reach_injector(self) -> None:
        address = httpx.URL(self.injector.event("ready")["webhook"])
        self.cluster.serve(PLANS, "tiergate-injector", (address.host, address.port or 0))


@pytest.fixture(scope="module")
def release(cluster: Cluster, node: Node, helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Give the chart, installed and served."""
    made = Release(cluster, node, helm, tmp_path_factory.mktemp("tls"))
    yield made
    made.close()


def injected(answer: httpx.Response) -> list[Any]:
    """The sidecars that a created pod has."""
    assert answer.is_success, answer.text
    return [one for one in answer.json()["spec"].get("initContainers", []) if one["name"] == "tiergate"]


def reviews(release: Release) -> list[str]:
    """How often the injector was asked, by what came of it."""
    _, said = release.injector.probe("/metrics")
    return [line for line in said.splitlines() if line.startswith("tiergate_injector_reviews_total")]


def test_secrets_are_made_before_what_needs_them(release: Release) -> None:
    """By the Job, which ran once; it leaves nothing behind that may create Secrets."""
    [(name, code, said)] = release.node.ran
    assert name.startswith("tiergate-secrets-")
    assert code == 0, said
    assert {"tiergate-signing-key", "tiergate-admin-key"} <= release.secrets().keys()
    for path in (
        f"/apis/batch/v1/namespaces/{PLANS}/jobs",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{PLANS}/rolebindings",
        f"/api/v1/namespaces/{PLANS}/serviceaccounts",
    ):
        names = [one["metadata"]["name"] for one in release.cluster.get(path)["items"]]
        assert not [name for name in names if "secrets" in name]


def test_the_first_admin_has_the_key_in_the_secret(release: Release) -> None:
    """The control plane took it at its start."""
    with release.client(release.secret("tiergate-admin-key", "admin.key").strip()) as client:
        assert client.get("/v1/whoami").json()["roles"] == ["admin"]


def test_the_releases_own_test_passes(release: Release) -> None:
    """`helm test` runs two pods: one reaches the control plane as its admin, one is injected and asks its sidecar."""
    said = release.helm("test", RELEASE, "--namespace", PLANS)
    assert said.count("Phase:          Succeeded") == 2


def test_the_namespace_refuses_what_is_not_confined(release: Release) -> None:
    """So that the chart's own pods, which were created in it, are."""
    deployment = release.cluster.get(f"/apis/apps/v1/namespaces/{PLANS}/deployments/tiergate-control-plane")
    template = deployment["spec"]["template"]
    del template["spec"]["containers"][0]["securityContext"]
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        release.node.create_pod(PLANS, "loose", template)


def test_a_labelled_pod_comes_back_with_a_sidecar(release: Release) -> None:
    """A native one, which starts before the application; the application is told where it is."""
    answer = release.try_pod("labelled", labels=LABELLED)
    [sidecar] = injected(answer)
    pod = answer.json()
    [app] = pod["spec"]["containers"]
    assert sidecar["restartPolicy"] == "Always"
    assert {one["name"] for one in app["env"]} >= {"TIERGATE_SIDECAR_URL", "TIERGATE_SIDECAR_SOCKET"}
    assert pod["metadata"]["annotations"]["tiergate.dev/status"]
    variables = {one["name"]: one.get("value", "") for one in sidecar["env"]}
    public = release.secret("tiergate-signing-key", "public-key.pem")
    assert variables["TIERGATE_PUBLIC_KEY_PEM"].strip() == public.strip()
    assert "PRIVATE KEY" not in answer.text


def test_a_sidecar_has_one_token_and_no_right_in_the_cluster(release: Release) -> None:
    """Only its own, made for the control plane: not that of the API server, which the application's container has."""
    answer = release.try_pod("entitled", labels=LABELLED)
    [sidecar] = injected(answer)
    [app] = answer.json()["spec"]["containers"]
    assert "/var/run/secrets/kubernetes.io/serviceaccount" in {one["mountPath"] for one in app["volumeMounts"]}
    mounted = {one["name"]: one["mountPath"] for one in sidecar["volumeMounts"]}
    volumes = {one["name"]: one for one in answer.json()["spec"]["volumes"]}
    sources = [source for name in mounted for source in volumes[name].get("projected", {}).get("sources", [])]
    assert [source["serviceAccountToken"]["audience"] for source in sources] == ["tiergate"], mounted


def test_a_pod_without_the_label_is_left_as_it_is(release: Release) -> None:
    """It does not even reach the injector."""
    before = reviews(release)
    assert injected(release.try_pod("plain", labels={})) == []
    assert injected(release.try_pod("declined", labels={"tiergate.dev/inject": "false"})) == []
    assert reviews(release) == before


def test_a_pod_that_would_set_the_image_is_refused(release: Release) -> None:
    """The API server says it to whoever creates the pod, in the injector's words."""
    answer = release.try_pod("greedy", labels=LABELLED, annotations={"tiergate.dev/image": "mine"})
    assert answer.status_code == 400, answer.text
    assert "tiergate.dev/image" in answer.json()["message"]


def test_the_sidecar_of_an_injected_pod_decides(release: Release, tmp_path: Path) -> None:
    """It follows the control plane by the token of the pod's own service account, and by nothing else."""
    key_file = tmp_path / "admin.key"
    key_file.write_text(release.secret("tiergate-admin-key", "admin.key"))
    plane = ControlPlane(release.url, key_file, verify=trusting(release.certificate))
    load_sample(plane, copy_sample(tmp_path))
    answer = release.try_pod("asking", labels=LABELLED)
    assert answer.is_success, answer.text
    with release.node.start(answer.json(), "tiergate") as sidecar:
        sidecar.event("ready")
        assert json.loads(sidecar.ask(check_request("ada")).body)["reason"] == "granted"


def test_a_sidecar_of_another_namespace_is_not_believed(release: Release) -> None:
    """Its token is good, and its service account none that may follow."""
    release.cluster.namespace("elsewhere")
    token = release.cluster.token("elsewhere", "default", "tiergate")
    with release.client(token) as client:
        assert client.get("/v1/whoami").json()["roles"] == []
        assert client.get("/v1/sync/snapshot").status_code == 403


def test_the_release_installs_over_itself_without_a_difference(release: Release) -> None:
    """No object is written, no Secret is made anew, and the webhook trusts whom it trusted."""
    before, secrets = release.objects(), release.secrets()
    said = release.helm("get", "manifest", RELEASE, "--namespace", PLANS)
    release.install()
    assert release.helm("get", "manifest", RELEASE, "--namespace", PLANS) == said
    assert release.objects() == before
    assert release.secrets() == secrets
    [webhook] = [one for path, one in before.items() if "mutatingwebhookconfigurations" in path]
    assert webhook["webhooks"][0]["clientConfig"]["caBundle"]
    assert [code for name, code, _ in release.node.ran if name.startswith("tiergate-secrets-")] == [0, 0]


def test_while_no_injector_answers_labelled_pods_are_refused(release: Release) -> None:
    """All others are not; and as soon as one answers, it has the same certificate, and pods are injected again."""
    certificate = release.secrets()["tiergate-injector-tls"]
    assert release.injector.end() == 0
    answer = release.try_pod("early", labels=LABELLED)
    assert answer.status_code == 500
    assert "failed calling webhook" in answer.json()["message"]
    assert injected(release.try_pod("unconcerned", labels={})) == []
    release.restart_injector()
    assert release.secrets()["tiergate-injector-tls"] == certificate
    assert injected(release.try_pod("later", labels=LABELLED))


def test_uninstalled_it_leaves_what_cannot_be_made_again(release: Release) -> None:
    """The store's volume and the keys; nothing of the injector stands in the way of pods."""
    paths = release.objects().keys()
    release.helm("uninstall", RELEASE, "--namespace", PLANS)
    left = [path for path in paths if release.cluster.api.get(path).is_success]
    assert left == [f"/api/v1/namespaces/{PLANS}/persistentvolumeclaims/tiergate-control-plane"]
    assert {"tiergate-signing-key", "tiergate-admin-key"} <= release.secrets().keys()
    assert injected(release.try_pod("free", labels=LABELLED)) == []


def _path(manifest: dict[str, Any]) -> str:
    """The path of an object; the plural of its kind is regular in all that the chart has."""
    kind, metadata = manifest["kind"].lower(), manifest["metadata"]
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    api = manifest["apiVersion"]
    within = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"/{'apis' if '/' in api else 'api'}/{api}{within}/{plural}/{metadata['name']}"
