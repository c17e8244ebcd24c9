"""What the chart comes to in clusters that want something else: a mesh, OpenShift, IPv6, a public load balancer."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.admissions import PUBLIC_KEY, asked, inject, patched
from tests.certificates import certify
from tests.helm.charts import CHART, containers_of, find, needs_helm, objects, pod_of
from tiergate.cluster.injector import settings as injector_settings
from tiergate.cluster.injector.operator_config import OperatorConfig
from tiergate.sidecar.setting_sources import resolve
from tiergate.sidecar.settings import TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helm.charts import Object

pytestmark = needs_helm

ISTIO: Final = CHART / "ci" / "istio-values.yaml"
OPENSHIFT: Final = CHART / "ci" / "openshift-values.yaml"
IPV6: Final = CHART / "ci" / "ipv6-values.yaml"
PLANE: Final = "shop-tiergate-control-plane"
NO_MESH: Final = "sidecar.istio.io/inject"
EXCLUDED: Final = "traffic.sidecar.istio.io/excludeInboundPorts"
PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")
CHOSEN_BY_OPENSHIFT: Final = {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups", "seLinuxOptions"}
ALLOWED_VOLUMES: Final = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def injected(found: tuple[Object, ...], folder: Path, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a pod
    """A pod after the injector that a release configures, with files in `folder` for those that it mounts."""
    certify(folder)
    (folder / "public-key.pem").write_text(PUBLIC_KEY, encoding="utf-8")
    for name, text in find(found, "ConfigMap", "shop-tiergate-injector")["data"].items():
        (folder / name).write_text(
            text.replace("/etc/tiergate/config", os.fspath(folder))
            .replace("/etc/tiergate/public-keys", os.fspath(folder))
            .replace("/etc/tiergate/control-plane-ca/ca.crt", os.fspath(folder / "cert.pem")),
            encoding="utf-8",
        )
    settings = injector_settings.resolve({"settings": folder / "injector.toml"}, {})
    said = OperatorConfig(settings, TABLE, lambda environ: resolve({}, environ))
    document = asked("least", **spec)
    pod: dict[str, Any] = patched(document, inject(document, said.injection))["spec"]
    return pod


def templates(found: tuple[Object, ...], kind: str) -> dict[str, Object]:
    """The pods' templates of the objects of a kind, by their names."""
    return {it["metadata"]["name"]: it["spec"]["template"] for it in found if it["kind"] == kind}


def test_beside_istio_jobs_end_and_the_rest_is_in_the_mesh() -> None:
    """A proxy would keep a Job from ending; nobody else is kept out."""
    found = objects(ISTIO)
    jobs = templates(found, "Job")
    assert len(jobs) == 2
    assert {it["metadata"]["annotations"][NO_MESH] for it in jobs.values()} == {"false"}
    for template in templates(found, "Deployment").values():
        assert NO_MESH not in template["metadata"].get("annotations", {})


def test_beside_istio_whoever_is_outside_of_the_mesh_reaches_what_it_must() -> None:
    """The API server the webhook, and Prometheus the metrics: strict mTLS would reset both."""
    found = objects(ISTIO)
    for template in templates(found, "Deployment").values():
        excluded = template["metadata"]["annotations"][EXCLUDED].split(",")
        (container,) = template["spec"]["containers"]
        outside = {it["containerPort"] for it in container["ports"] if it["name"] != "api"}
        assert {*map(int, excluded)} == outside
        for probe in PROBES:
            assert container[probe]["httpGet"]["port"] == "probes"
    (endpoint,) = find(found, "ServiceMonitor", PLANE)["spec"]["endpoints"]
    assert (endpoint["targetPort"], endpoint["scheme"]) == ("probes", "http")


@pytest.mark.parametrize("native", [True, False], ids=["native sidecar", "container"])
def test_beside_istio_a_sidecar_starts_after_the_proxy_and_is_asked_by_a_command(native: bool, tmp_path: Path) -> None:
    """By the objects: Istio's webhook was there first, and STRICT resets the kubelet's plain HTTP."""
    proxy = {"name": "istio-proxy", "image": "i"} | ({"restartPolicy": "Always"} if native else {})
    migrate = {"name": "migrate", "image": "m"}
    init = [{"name": "istio-init", "image": "i"}, *([proxy] if native else []), migrate]
    containers = [{"name": "shop", "image": "shop"}, *([] if native else [proxy])]
    pod = injected(objects(ISTIO), tmp_path, initContainers=init, containers=containers)
    names = [it["name"] for it in pod["initContainers"]]
    if native:
        assert names == ["istio-init", "istio-proxy", "tiergate", "migrate"]
    sidecar = next(it for it in pod["initContainers"] if it["name"] == "tiergate")
    for probe in PROBES:
        assert "exec" in sidecar[probe]
        assert "httpGet" not in sidecar[probe]


def test_restricted_openshift_takes_every_pod(tmp_path: Path) -> None:
    """By the rules of restricted-v2, the injected sidecar's too: it names no user, and asks for nothing."""
    found = objects(OPENSHIFT)
    pods = [pod for it in found if (pod := pod_of(it)) is not None]
    pods.append(injected(found, tmp_path))
    assert len(pods) == 7
    for pod in pods:
        own = [it for it in containers_of(pod) if it["image"].rpartition("/")[2].startswith("tiergate")]
        assert own
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        for context in (pod.get("securityContext", {}), *(it["securityContext"] for it in own)):
            assert not CHOSEN_BY_OPENSHIFT & context.keys()
        for container in own:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["runAsNonRoot"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert not any("hostPort" in port for port in container.get("ports", []))
        assert all((it.keys() - {"name"}) <= ALLOWED_VOLUMES for it in pod.get("volumes", []))


@pytest.mark.parametrize(
    ("family", "address", "options"),
    [
        ("IPv4", "0.0.0.0", {}),
        ("IPv6", "::", {"ipFamilies": ["IPv6"]}),
        ("dual", "::", {"ipFamilyPolicy": "PreferDualStack"}),
    ],
)
def test_one_value_says_which_addresses_there_are(
    family: str, address: str, options: dict[str, object], tmp_path: Path
) -> None:
    """Every process listens on them, and every Service has them."""
    found = objects(IPV6, values={"ipFamily": family})
    plane = tomllib.loads(find(found, "ConfigMap", PLANE)["data"]["control-plane.toml"])
    injector = tomllib.loads(find(found, "ConfigMap", "shop-tiergate-injector")["data"]["injector.toml"])
    default = {"host": "0.0.0.0", "probe-host": "0.0.0.0"} | injector
    assert {plane["host"], plane["probe-host"], default["host"], default["probe-host"]} == {address}
    nodes = find(found, "DaemonSet", "shop-tiergate-daemonset")["spec"]["template"]["spec"]
    for container in (*nodes["containers"], injected(found, tmp_path)["initContainers"][0]):
        environ = {it["name"]: it["value"] for it in container["env"] if "value" in it}
        assert resolve({}, environ | {"TIERGATE_PUBLIC_KEY": ""}).probe_host == address
    services = [it["spec"] for it in found if it["kind"] == "Service"]
    assert len(services) == 2
    for service in services:
        assert {key: value for key, value in service.items() if key.startswith("ipFamil")} == options


def test_what_a_service_says_itself_stands_before_the_family() -> None:
    """As do the addresses of single processes."""
    values = {"controlPlane": {"host": "0.0.0.0", "service": {"ipFamilies": ["IPv6", "IPv4"]}}}
    found = objects(IPV6, values=values)
    assert find(found, "Service", PLANE)["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
    settings = tomllib.loads(find(found, "ConfigMap", PLANE)["data"]["control-plane.toml"])
    assert (settings["host"], settings["probe-host"]) == ("0.0.0.0", "0.0.0.0")


def test_probes_and_metrics_can_be_where_a_load_balancer_does_not_reach() -> None:
    """On a port that only the kubelet and Prometheus use, over plain HTTP though the API has a certificate."""
    tls = {"mode": "secret", "existingSecret": "mine"}
    policy = {"enabled": True}
    values = {
        "controlPlane": {"probePort": 8441, "tls": tls, "service": {"type": "LoadBalancer"}, "networkPolicy": policy},
        "monitoring": {"serviceMonitor": {"enabled": True}},
    }
    found = objects(values=values)
    assert [it["targetPort"] for it in find(found, "Service", PLANE)["spec"]["ports"]] == ["api"]
    (container,) = find(found, "Deployment", PLANE)["spec"]["template"]["spec"]["containers"]
    assert {it["name"]: it["containerPort"] for it in container["ports"]} == {"api": 8440, "probes": 8441}
    for probe in PROBES:
        assert (container[probe]["httpGet"]["port"], container[probe]["httpGet"]["scheme"]) == ("probes", "HTTP")
    (endpoint,) = find(found, "ServiceMonitor", PLANE)["spec"]["endpoints"]
    assert endpoint["targetPort"] == "probes"
    assert not {"port", "tlsConfig"} & endpoint.keys()
    (rule,) = find(found, "NetworkPolicy", PLANE)["spec"]["ingress"]
    assert [it["port"] for it in rule["ports"]] == ["api", "probes"]


def test_an_ingress_routes_neither_probes_nor_metrics() -> None:
    """Unless a path is said; then just that."""
    hosts = [{"host": "a.example"}, {"host": "b.example", "path": "/", "pathType": "Exact"}]
    found = objects(values={"controlPlane": {"ingress": {"enabled": True, "hosts": hosts}}})
    rules = find(found, "Ingress", PLANE)["spec"]["rules"]
    routed = [[(it["path"], it["pathType"]) for it in rule["http"]["paths"]] for rule in rules]
    assert routed == [[("/v1", "Prefix"), ("/openapi.json", "Prefix")], [("/", "Exact")]]
