"""Values that people ask for: each reaches the objects that it is about, and Kubernetes knows every field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.helm.charts import NEWEST, find, needs_helm, objects, validate
from tests.helm.test_scenarios import CUSTOM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.helm.charts import Object

pytestmark = needs_helm

PLANE: Final = ("Deployment", "shop-tiergate-control-plane")
SERVICE: Final = ("Service", "shop-tiergate-control-plane")
INJECTOR: Final = ("Deployment", "shop-tiergate-injector")
NODES: Final = ("DaemonSet", "shop-tiergate-daemonset")
POSTGRESQL: Final = {"type": "postgresql", "postgresql": {"existingSecret": "db"}}
POD: Final = ("spec", "template", "spec")

POD_OPTIONS: Final[dict[str, Any]] = {
    "runtimeClassName": "gvisor",
    "schedulerName": "custom",
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db.internal"]}],
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.53"]},
    "priorityClassName": "high",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "plans", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}

REQUESTED: Final[dict[str, tuple[dict[str, Any], tuple[str, str], tuple[object, ...], object]]] = {
    "annotations": (
        {"controlPlane": {"annotations": {"reloader.stakater.com/auto": "true"}}},
        PLANE, ("metadata", "annotations", "reloader.stakater.com/auto"), "true",
    ),
    "variables from a Secret": (
        {"controlPlane": {"extraEnvFrom": [{"secretRef": {"name": "proxy"}}]}},
        PLANE, (*POD, "containers", 0, "envFrom"), [{"secretRef": {"name": "proxy"}}],
    ),
    "a container": (
        {"controlPlane": {"extraContainers": [{"name": "logs", "image": "shipper"}]}},
        PLANE, (*POD, "containers", 0, "name"), "logs",
    ),
    "an init container": (
        {"controlPlane": {"extraInitContainers": [{"name": "proxy", "image": "p", "restartPolicy": "Always"}]}},
        PLANE, (*POD, "initContainers", 0, "name"), "proxy",
    ),
    "a registry of the image": (
        {"image": {"registry": "registry.corp.example", "repository": "mirror/cp", "tag": "1"}},
        PLANE, (*POD, "containers", 0, "image"), "registry.corp.example/mirror/cp:1",
    ),
    "a registry of all charts": (
        {"global": {"imageRegistry": "corp.example"}, "image": {"repository": "cp", "tag": "1"}},
        PLANE, (*POD, "containers", 0, "image"), "corp.example/cp:1",
    ),
    "pull secrets of all charts": (
        {"global": {"imagePullSecrets": [{"name": "corp"}, "other"]}, "imagePullSecrets": [{"name": "own"}]},
        PLANE, (*POD, "imagePullSecrets"), [{"name": "own"}, {"name": "corp"}, {"name": "other"}],
    ),
    "another namespace": (
        {"namespaceOverride": "other"}, PLANE, ("metadata", "namespace"), "other",
    ),
    "no replica": ({"controlPlane": {"replicas": 0}}, PLANE, ("spec", "replicas"), 0),
    "a probe": (
        {"controlPlane": {"livenessProbe": {"periodSeconds": 20}, "readinessProbe": {"timeoutSeconds": 9}}},
        PLANE, (*POD, "containers", 0, "livenessProbe", "periodSeconds"), 20,
    ),
    "labels of the Service": (
        {"controlPlane": {"service": {"labels": {"team": "plans"}}}}, SERVICE, ("metadata", "labels", "team"), "plans",
    ),
    "two address families": (
        {"controlPlane": {"service": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]}}},
        SERVICE, ("spec", "ipFamilies"), ["IPv6", "IPv4"],
    ),
    "a port of the nodes": (
        {"controlPlane": {"service": {"type": "NodePort", "nodePort": 30440}}},
        SERVICE, ("spec", "ports", 0, "nodePort"), 30440,
    ),
    "a headless Service": (
        {"controlPlane": {"service": {"clusterIP": "None"}}}, SERVICE, ("spec", "clusterIP"), "None",
    ),
    "a load balancer": (
        {"controlPlane": {"service": {
            "type": "LoadBalancer", "loadBalancerClass": "service.k8s.aws/nlb",
            "loadBalancerSourceRanges": ["10.0.0.0/8"], "externalTrafficPolicy": "Local",
        }}},
        SERVICE, ("spec", "loadBalancerSourceRanges"), ["10.0.0.0/8"],
    ),
    "the least available": (
        {"controlPlane": {"replicas": 3, "database": POSTGRESQL,
                          "podDisruptionBudget": {"minAvailable": 2, "maxUnavailable": None}}},
        ("PodDisruptionBudget", "shop-tiergate-control-plane"), ("spec",),
        {"minAvailable": 2, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": {"matchLabels": {
            "app.kubernetes.io/name": "tiergate", "app.kubernetes.io/instance": "shop",
            "app.kubernetes.io/component": "control-plane"}}},
    ),
    "names of the certificate": (
        {"controlPlane": {"tls": {"mode": "certManager", "certManager": {
            "issuerRef": {"name": "le"}, "dnsNamesOnly": True, "dnsNames": ["plans.example"]}}}},
        ("Certificate", "shop-tiergate-control-plane"), ("spec", "dnsNames"), ["plans.example"],
    ),
    "the certificate's key": (
        {"controlPlane": {"tls": {"mode": "certManager", "certManager": {
            "issuerRef": {"name": "le"}, "privateKey": {"algorithm": "RSA", "size": 4096}}}}},
        ("Certificate", "shop-tiergate-control-plane"), ("spec", "privateKey"),
        {"algorithm": "RSA", "size": 4096, "rotationPolicy": "Always"},
    ),
    "a route of a gateway": (
        {"controlPlane": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "gw"}]}}},
        ("HTTPRoute", "shop-tiergate-control-plane"), ("spec", "rules", 0, "backendRefs", 0),
        {"name": "shop-tiergate-control-plane", "port": 8440},
    ),
    "an object of one's own": (
        {"extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x"}}]},
        ("ConfigMap", "shop-x"), ("kind",), "ConfigMap",
    ),
    "a pod monitor's relabelling": (
        {"monitoring": {"podMonitor": {"enabled": True, "namespace": "monitoring",
                                       "relabelings": [{"targetLabel": "a", "replacement": "b"}]}}},
        ("PodMonitor", "shop-tiergate-sidecars"), ("metadata", "namespace"), "monitoring",
    ),
    "the injector's variables": (
        {"injector": {"enabled": True, "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy"}]}},
        INJECTOR, (*POD, "containers", 0, "env"), [{"name": "HTTPS_PROXY", "value": "http://proxy"}],
    ),
    "the injector's port": (
        {"injector": {"enabled": True, "settings": {"port": 10250}}},
        INJECTOR, (*POD, "containers", 0, "ports", 0, "containerPort"), 10250,
    ),
    "the injector on the node's network": (
        {"injector": {"enabled": True, "hostNetwork": True}}, INJECTOR, (*POD, "dnsPolicy"), "ClusterFirstWithHostNet",
    ),
    "the webhook's annotations": (
        {"injector": {"enabled": True, "webhookAnnotations": {"a": "b"}, "reinvocationPolicy": "Never"}},
        ("MutatingWebhookConfiguration", "plans-shop-tiergate-injector"), ("metadata", "annotations", "a"), "b",
    ),
    "a revision of injectors": (
        {"injector": {"enabled": True, "revision": "blue"}},
        ("MutatingWebhookConfiguration", "plans-shop-tiergate-injector"), ("webhooks", 0, "objectSelector"),
        {"matchLabels": {"tiergate.dev/inject": "true", "tiergate.dev/revision": "blue"}},
    ),
    "the daemon set's variables": (
        {"daemonset": {"enabled": True, "extraEnvFrom": [{"configMapRef": {"name": "bucket"}}]}},
        NODES, (*POD, "containers", 0, "envFrom"), [{"configMapRef": {"name": "bucket"}}],
    ),
    "PostgreSQL by parts": (
        {"controlPlane": {"database": {"type": "postgresql", "postgresql": {
            "existingSecret": "pw", "host": "db", "user": "a b", "parameters": "sslmode=require"}}}},
        PLANE, (*POD, "containers", 0, "env"),
        [
            {"name": "TIERGATE_CP_DATABASE", "value": "postgresql://a+b@db:5432/tiergate?sslmode=require"},
            {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "pw", "key": "password"}}},
        ],
    ),
}  # fmt: skip
"""What is asked for: the values, the object, the place in it, and what is expected there."""


def at(found: object, path: tuple[object, ...]) -> object:
    """Return what is at a place in an object."""
    for part in path:
        found = found[part]  # type: ignore[index]
    return found


@pytest.mark.parametrize("name", REQUESTED)
def test_a_value_reaches_its_object(name: str) -> None:
    """And everything is valid by Kubernetes' own schemas."""
    values, (kind, title), path, expected = REQUESTED[name]
    assert at(find(objects(values=values), kind, title), path) == expected
    expect_valid(values)


def expect_valid(values: Mapping[str, Any]) -> None:
    """Hold every object against Kubernetes' schemas."""
    for one in objects(values=values):
        if (one["apiVersion"], one["kind"]) not in CUSTOM:
            validate(one, NEWEST)


def pod_specs(found: tuple[Object, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the pods of a release, with the names of what they belong to."""
    for one in found:
        if one["kind"] in {"Deployment", "DaemonSet", "Job"}:
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]
        elif one["kind"] == "Pod":
            yield one["metadata"]["name"], one["spec"]


EVERYTHING: Final[dict[str, Any]] = {
    "controlPlane": {"database": POSTGRESQL},
    "injector": {"enabled": True},
}


@pytest.mark.parametrize("option", POD_OPTIONS)
def test_an_option_of_pods_reaches_all_pods_of_its_part(option: str) -> None:
    """Those of Jobs and tests too: they run where the control plane may run, or they hang."""
    given = {option: POD_OPTIONS[option]}
    values = {
        "controlPlane": {"database": POSTGRESQL, **given},
        "injector": {"enabled": True, **given},
        "daemonset": {"enabled": True, **given},
    }
    found = dict(pod_specs(objects(values=values)))
    assert len(found) == 7
    exempt = {"shop-tiergate-test", "shop-tiergate-injection-test"} if option == "affinity" else set()
    assert {name for name, pod in found.items() if pod.get(option) != POD_OPTIONS[option]} == exempt
    expect_valid(values)


@pytest.mark.parametrize("way", ["force", "null"])
def test_no_pod_names_a_user_on_openshift(way: str) -> None:
    """Neither the pods, nor their containers, nor those of the sidecar that the injector adds."""
    nulls = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    if way == "force":
        values: dict[str, Any] = EVERYTHING | {"openshift": {"adaptSecurityContext": "force"}}
    else:
        values = {
            "controlPlane": {"database": POSTGRESQL, "podSecurityContext": nulls},
            "injector": {"enabled": True, "podSecurityContext": nulls},
            "sidecar": {"securityContext": {"runAsUser": None, "runAsGroup": None}},
        }
    found = objects(values=values)
    assert len(dict(pod_specs(found))) == 6
    for name, pod in pod_specs(found):
        for context in (pod["securityContext"], *(it["securityContext"] for it in pod["containers"])):
            assert not {"runAsUser", "runAsGroup", "fsGroup"} & context.keys(), name
            assert context["runAsNonRoot"] is True
    sidecar = find(found, "ConfigMap", "shop-tiergate-injector")["data"]["sidecar.yaml"]
    assert "65532" not in sidecar
    expect_valid(values)


def test_jobs_have_what_a_mesh_and_a_cloud_want() -> None:
    """Annotations of pods, accounts of their own, and a database user of the migration's own."""
    job = {
        "annotations": {"a": "job"},
        "podAnnotations": {"sidecar.istio.io/inject": "false"},
        "podLabels": {"sidecar.istio.io/inject": "false"},
    }
    migration = job | {"database": {"existingSecret": "owner"}}
    values = {
        "controlPlane": {
            "database": {"type": "postgresql", "postgresql": {"existingSecret": "db", "migration": migration}},
            "secretsJob": job,
            "serviceAccount": {"annotations": {"cloud": "identity"}},
            "networkPolicy": {"enabled": True, "restrictEgress": True},
        }
    }
    found = objects(values=values)
    jobs = [it for it in found if it["kind"] == "Job"]
    assert len(jobs) == 2
    for one in jobs:
        assert one["metadata"]["annotations"]["a"] == "job"
        pod = one["spec"]["template"]["metadata"]
        assert pod["annotations"]["sidecar.istio.io/inject"] == pod["labels"]["sidecar.istio.io/inject"] == "false"
        account = find(found, "ServiceAccount", one["spec"]["template"]["spec"]["serviceAccountName"])
        assert account["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert find(found, "ServiceAccount", "shop-tiergate-migration")["metadata"]["annotations"]["cloud"] == "identity"
    (migrating,) = (it for it in jobs if "migration" in it["metadata"]["name"])
    (variable,) = migrating["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variable["valueFrom"]["secretKeyRef"]["name"] == "owner"
    policy = find(found, "NetworkPolicy", "shop-tiergate-jobs")
    assert policy["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    expect_valid(values)


def test_an_account_that_is_there_already_runs_the_migration_too() -> None:
    """It has the cloud's identity, the pull secrets, the security context constraints."""
    account = {"create": False, "name": "entitlements"}
    values = {"controlPlane": {"database": POSTGRESQL, "serviceAccount": account}}
    (job,) = (it for it in objects(values=values) if it["kind"] == "Job" and "migration" in it["metadata"]["name"])
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "entitlements"


def test_two_long_names_stay_different() -> None:
    """They are cut, and end with a digest of the whole."""
    stem = "team-payments-production-eu-central-1-tiergate"
    names = [
        next(it for it in objects(values={"fullnameOverride": f"{stem}-{colour}"}) if it["kind"] == "Deployment")
        for colour in ("blue", "green")
    ]
    first, second = (it["metadata"]["name"] for it in names)
    assert first != second
    assert max(len(first), len(second)) <= 63


def test_a_release_without_a_control_plane_has_no_alerts_on_one() -> None:
    """It would page for ever."""
    values = {
        "controlPlane": {"enabled": False},
        "sidecar": {"controlPlane": {"url": "https://plans.example"}},
        "monitoring": {"prometheusRule": {"enabled": True}},
    }
    (rule,) = (it for it in objects(values=values) if it["kind"] == "PrometheusRule")
    assert [group["name"] for group in rule["spec"]["groups"]] == ["tiergate-sidecar", "tiergate"]


def test_an_alert_is_left_out_or_changed_by_name() -> None:
    """And one follows the setting that it is about."""
    values = {
        "controlPlane": {"settings": {"max-waiting": 20_000}},
        "monitoring": {"prometheusRule": {
            "enabled": True,
            "disabled": ["TiergateSidecarClockSkew"],
            "overrides": {"TiergateSidecarStale": {"for": "5m", "labels": {"severity": "warning"}}},
        }},
    }  # fmt: skip
    (rule,) = (it for it in objects(values=values) if it["kind"] == "PrometheusRule")
    alerts = {it["alert"]: it for group in rule["spec"]["groups"] for it in group["rules"]}
    assert "TiergateSidecarClockSkew" not in alerts
    stale = alerts["TiergateSidecarStale"]
    assert (stale["for"], stale["labels"]["severity"]) == ("5m", "warning")
    assert alerts["TiergateReadersNearLimit"]["expr"].endswith("> 16000")
