"""What the chart makes of the control plane: what it is told is what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.helm.charts import CHART, find, needs_helm, objects, pod_of
from tiergate.control.auth.authentication import read_issuers
from tiergate.control.settings import SETTINGS, Settings, resolve
from tiergate.http.loopback import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.helm.charts import Object

pytestmark = needs_helm

NAME = "shop-tiergate-control-plane"
POSTGRESQL = {"type": "postgresql", "postgresql": {"existingSecret": "database"}}
SCENARIOS = [it for it in sorted(CHART.glob("ci/*-values.yaml")) if (yaml.safe_load(it.read_text()) or {}).get(
    "controlPlane", {}).get("enabled", True)]  # fmt: skip
each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda it: it.stem.removesuffix("-values"))


def control_plane(**values: object) -> tuple[Object, ...]:
    """The objects of a release with these values of the control plane."""
    return objects(values={"controlPlane": values})


def one_of(found: tuple[Object, ...], kind: str, component: str) -> Object:
    """The one object of a kind in a component."""
    (one,) = (
        it for it in found
        if it["kind"] == kind and it["metadata"]["labels"]["app.kubernetes.io/component"] == component
    )  # fmt: skip
    return one


def settings_of(found: tuple[Object, ...], folder: Path) -> Settings:
    """The settings as the control plane reads them, from the file and the variables that the chart gives it."""
    data = one_of(found, "ConfigMap", "control-plane")["data"]
    written = folder / "control-plane.toml"
    written.write_text(data["control-plane.toml"], encoding="utf-8")
    pod = pod_of(one_of(found, "Deployment", "control-plane"))
    assert pod is not None
    variables = {it["name"]: it.get("value", "postgresql://u@db/x") for it in pod["containers"][0].get("env", [])}
    return resolve({"settings": str(written)}, variables)


def mounted(pod: Object) -> dict[str, Object]:
    """What a pod's first container has mounted: the volume by its path."""
    volumes = {it["name"]: it for it in pod["volumes"]}
    return {it["mountPath"]: volumes[it["name"]] for it in pod["containers"][0]["volumeMounts"]}


@each_scenario
def test_the_control_plane_takes_its_settings(scenario: Path, tmp_path: Path) -> None:
    """All of them, in every scenario; it listens where its port is, and every file that they name is mounted."""
    found = objects(scenario)
    settings = settings_of(found, tmp_path)
    assert not is_loopback(settings.host)
    pod = pod_of(one_of(found, "Deployment", "control-plane"))
    assert pod is not None
    ports = [it for it in (settings.port, settings.probe_port) if it is not None]
    assert [it["containerPort"] for it in pod["containers"][0]["ports"]] == ports
    at = mounted(pod)
    optional = (settings.tls_cert, settings.tls_key, settings.issuers_file, settings.bootstrap_admin_key_file)
    for path in [*settings.signing_key_file, *(it for it in optional if it is not None)]:
        volume = at[str(path.parent)]
        if "secret" in volume:
            assert path.name in [it["path"] for it in volume["secret"]["items"]]
        else:
            assert path.name in one_of(found, "ConfigMap", "control-plane")["data"]


@each_scenario
def test_the_control_plane_takes_its_issuers(scenario: Path) -> None:
    """The file is as it must be; sidecars are nothing but sidecars."""
    data = one_of(objects(scenario), "ConfigMap", "control-plane")["data"]
    if "issuers.yaml" in data:
        for issuer in read_issuers(data["issuers.yaml"]):
            if issuer.name == "kubernetes":
                assert {*issuer.subjects.values()} == {("sidecar",)}


def test_every_setting_can_be_given_once() -> None:
    """By a value of the chart's own, or by its name in `settings`; a new setting must be decided on."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))
    given = {
        "bootstrap-admin-key-file", "database", "host", "insecure", "issuers-file", "migrate", "object-store", "port",
        "probe-host", "probe-port", "signing-key-file", "tls-cert", "tls-key",
    }  # fmt: skip
    assert schema["definitions"]["settings"]["properties"].keys() == {it.name for it in SETTINGS} - given


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        ({"max-waiting": 1_000_000_000}, "max_waiting", 1_000_000_000),
        ({"keep-alive": 0.25}, "keep_alive", 0.25),
        ({"log-level": "warning"}, "log_level", "warning"),
        ({"webhook-network": ["10.0.0.0/8", "fd00::/8"]}, "webhook_network", ("10.0.0.0/8", "fd00::/8")),
        ({"log-format": "console"}, "log_format", "console"),
        ({}, "log_format", "json"),
    ],
)
def test_settings_arrive_as_they_were_given(
    settings: Mapping[str, object], name: str, value: object, tmp_path: Path
) -> None:
    """Numbers do not become others on the way."""
    assert getattr(settings_of(control_plane(settings=settings), tmp_path), name) == value


def test_a_store_on_a_volume_is_had_by_one_process_at_a_time(tmp_path: Path) -> None:
    """The old pod ends before the new one begins, and the store is on the claim."""
    found = control_plane()
    deployment = find(found, "Deployment", NAME)
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment["spec"]["replicas"] == 1
    at = mounted(deployment["spec"]["template"]["spec"])
    assert at["/var/lib/tiergate"]["persistentVolumeClaim"] == {"claimName": NAME}
    assert settings_of(found, tmp_path).database == "sqlite:////var/lib/tiergate/store.sqlite"
    assert find(found, "PersistentVolumeClaim", NAME)["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_claim_may_be_there_already_or_missing() -> None:
    """In neither case is one made."""
    for persistence, volume in (
        ({"existingClaim": "mine"}, {"persistentVolumeClaim": {"claimName": "mine"}}),
        ({"enabled": False}, {"emptyDir": {}}),
    ):
        found = control_plane(database={"sqlite": {"persistence": persistence}})
        at = mounted(find(found, "Deployment", NAME)["spec"]["template"]["spec"])
        assert at["/var/lib/tiergate"] == {"name": "store"} | volume
        assert not [it for it in found if it["kind"] == "PersistentVolumeClaim"]


def test_postgresql_is_migrated_once_before_the_release() -> None:
    """By a hook of install and upgrade, with the URL from the Secret; its pods roll, none is missing meanwhile."""
    found = control_plane(database=POSTGRESQL, replicas=3)
    job = one_of(found, "Job", "migration")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    url = {"name": "TIERGATE_CP_DATABASE", "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}}}
    assert container["args"] == ["migrate"]
    assert container["env"] == [url]
    deployment = find(found, "Deployment", NAME)
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert url in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert find(found, "PodDisruptionBudget", NAME)["spec"]["maxUnavailable"] == 1


def test_sqlite_needs_no_job_to_migrate() -> None:
    """The control plane does that itself."""
    assert not [it for it in control_plane() if it["metadata"]["name"].startswith("shop-tiergate-migration")]


def test_replicas_are_the_autoscalers_where_there_is_one() -> None:
    """The Deployment says nothing of them, so that an upgrade does not undo what it did."""
    found = control_plane(database=POSTGRESQL, autoscaling={"enabled": True})
    assert "replicas" not in find(found, "Deployment", NAME)["spec"]
    assert find(found, "HorizontalPodAutoscaler", NAME)["spec"]["scaleTargetRef"]["name"] == NAME


def create_arguments(found: tuple[Object, ...]) -> list[str]:
    """What the Job that makes Secrets is told; nothing where there is none."""
    jobs = [it for it in found if it["kind"] == "Job" and it["metadata"]["name"].startswith("shop-tiergate-secrets")]
    return jobs[0]["spec"]["template"]["spec"]["containers"][0]["args"] if jobs else []


@pytest.mark.parametrize(
    ("values", "made"),
    [
        ({}, ["--signing-key=shop-tiergate-signing-key", "--admin-key=shop-tiergate-admin-key"]),
        ({"bootstrap": {"enabled": False}}, ["--signing-key=shop-tiergate-signing-key"]),
        ({"signingKey": {"existingSecret": "mine"}}, ["--admin-key=shop-tiergate-admin-key"]),
        ({"signingKey": {"existingSecret": "mine"}, "bootstrap": {"existingSecret": "first"}}, []),
        ({"secretsJob": {"enabled": False}}, []),
    ],
)
def test_only_secrets_that_nobody_named_are_made(values: Mapping[str, object], made: list[str]) -> None:
    """Where there is none to make, there is no Job, and nobody who may make any."""
    found = control_plane(**values)
    assert create_arguments(found) == (["cluster", "create-secrets", *made] if made else [])
    assert bool([it for it in found if it["kind"] == "Role"]) is bool(made)


def test_who_makes_secrets_can_read_and_change_none() -> None:
    """And is there during installs and upgrades alone."""
    found = control_plane()
    role = one_of(found, "Role", "secrets")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]
    weights = {}
    for kind in ("ServiceAccount", "Role", "RoleBinding", "Job"):
        annotations = one_of(found, kind, "secrets")["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert "hook-succeeded" in annotations["helm.sh/hook-delete-policy"]
        weights[kind] = int(annotations["helm.sh/hook-weight"])
    assert weights.pop("Job") > max(weights.values())


def test_the_secrets_that_are_made_are_those_that_are_mounted() -> None:
    """Under the names that the command gives their parts."""
    found = control_plane()
    at = mounted(find(found, "Deployment", NAME)["spec"]["template"]["spec"])
    names = [it.partition("=")[2] for it in create_arguments(found)[2:]]
    assert [at[f"/etc/tiergate/{it}"]["secret"]["secretName"] for it in ("signing-key", "admin-key")] == names


def test_service_accounts_of_a_namespace_become_sidecars() -> None:
    """The issuer has their subjects; so have the daemon set's pods, and nobody else."""
    kubernetes = {"sidecars": ["shop:*", "billing:invoices"], "audience": "plans", "issuer": "https://issuer.example"}
    found = objects(values={"controlPlane": {"issuers": {"kubernetes": kubernetes}}, "daemonset": {"enabled": True}})
    (issuer,) = read_issuers(find(found, "ConfigMap", NAME)["data"]["issuers.yaml"])
    assert issuer.issuer == "https://issuer.example"
    assert issuer.audience == "plans"
    accounts = ("billing:invoices", "plans:shop-tiergate-daemonset", "shop:*")
    assert issuer.subjects == {f"system:serviceaccount:{it}": ("sidecar",) for it in accounts}
    daemonset = one_of(found, "DaemonSet", "daemonset")
    assert daemonset["spec"]["template"]["spec"]["serviceAccountName"] == "shop-tiergate-daemonset"


def test_without_sidecars_no_cluster_is_trusted() -> None:
    """And the control plane has no token of the cluster's."""
    found = control_plane()
    assert "issuers.yaml" not in find(found, "ConfigMap", NAME)["data"]
    volumes = find(found, "Deployment", NAME)["spec"]["template"]["spec"]["volumes"]
    assert not [it for it in volumes if "projected" in it]


def test_a_change_of_the_settings_restarts_the_pods() -> None:
    """The pods carry what their settings come to; other values leave them running."""

    def mark(**values: object) -> Any:  # noqa: ANN401 - as it is read
        deployment = find(control_plane(**values), "Deployment", NAME)
        return deployment["spec"]["template"]["metadata"]["annotations"]["tiergate.dev/configuration"]

    assert mark(settings={"log-level": "debug"}) != mark() == mark(service={"type": "LoadBalancer"})


@pytest.mark.parametrize(
    ("tls", "scheme", "secret"),
    [
        ({"mode": "disabled"}, "HTTP", None),
        ({"mode": "secret", "existingSecret": "mine"}, "HTTPS", "mine"),
        ({"mode": "certManager", "certManager": {"issuerRef": {"name": "internal"}}}, "HTTPS", f"{NAME}-tls"),
    ],
)
def test_probes_and_certificate_follow_how_it_speaks(
    tls: Mapping[str, object], scheme: str, secret: str | None, tmp_path: Path
) -> None:
    """Plain HTTP only where it is said."""
    found = control_plane(tls=tls)
    deployment = find(found, "Deployment", NAME)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["scheme"] == scheme
    settings = settings_of(found, tmp_path)
    assert settings.insecure is (secret is None)
    assert (settings.tls_cert is None) is (secret is None)
    if secret is not None:
        at = mounted(deployment["spec"]["template"]["spec"])
        assert at["/etc/tiergate/tls"]["secret"]["secretName"] == secret


def test_a_certificate_is_for_every_name_of_the_service() -> None:
    """And for those that were named."""
    issued = {"issuerRef": {"name": "internal"}, "dnsNames": ["plans.example"]}
    found = control_plane(tls={"mode": "certManager", "certManager": issued})
    names = find(found, "Certificate", NAME)["spec"]["dnsNames"]
    service = f"{NAME}.plans"
    expected = {NAME, service, f"{service}.svc", f"{service}.svc.cluster.local", "localhost", "plans.example"}
    assert {*names} == expected


def test_a_network_policy_lets_the_release_itself_in() -> None:
    """The sidecars of its nodes and what `helm test` runs, whoever else is named; and no pod of another release."""
    shop = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}
    found = objects(
        values={
            "controlPlane": {"networkPolicy": {"enabled": True, "from": [shop]}},
            "daemonset": {"enabled": True},
            "injector": {"enabled": True},
        }
    )
    (rule,) = find(found, "NetworkPolicy", NAME)["spec"]["ingress"]
    (own,) = (it["podSelector"]["matchLabels"] for it in rule["from"] if it.keys() == {"podSelector"})
    assert [it for it in rule["from"] if "podSelector" not in it] == [shop]
    tests = [it["metadata"]["labels"] for it in found if it["kind"] == "Pod"]
    assert len(tests) == 2
    daemonset = one_of(found, "DaemonSet", "daemonset")["spec"]["template"]["metadata"]["labels"]
    for labels in (*tests, daemonset):
        assert own.items() <= labels.items()
    assert own["app.kubernetes.io/instance"] == "shop"


def test_prometheus_can_be_told_how_to_verify_a_certificate() -> None:
    """One of an issuer of the company's own, from a Secret, or one for which cert-manager gives no authority."""

    def verified(tls: Mapping[str, object], **monitor: object) -> Any:  # noqa: ANN401 - as it is read
        values = {"controlPlane": {"tls": tls}, "monitoring": {"serviceMonitor": {"enabled": True, **monitor}}}
        (endpoint,) = find(objects(values=values), "ServiceMonitor", NAME)["spec"]["endpoints"]
        return endpoint.get("tlsConfig")

    service = f"{NAME}.plans.svc"
    own = {"serverName": service, "ca": {"configMap": {"name": "company", "key": "ca.crt"}}}
    issued = {"mode": "certManager", "certManager": {"issuerRef": {"name": "internal"}}}
    assert verified({"mode": "disabled"}) is None
    assert verified(issued) == {"serverName": service, "ca": {"secret": {"name": f"{NAME}-tls", "key": "ca.crt"}}}
    assert verified({"mode": "secret", "existingSecret": "mine"}) == {"serverName": service}
    assert verified({"mode": "secret", "existingSecret": "mine"}, tlsConfig=own) == own
    assert verified(issued, tlsConfig={"serverName": "plans.example"}) == {"serverName": "plans.example"}


def test_an_image_is_pinned_by_its_digest() -> None:
    """Which stands in place of the tag, wherever the image is used."""
    digest = "sha256:" + "0a" * 32
    found = objects(values={"image": {"repository": "mirror.example/cp", "digest": digest, "tag": "9"}})
    images = {
        container["image"]
        for one in found
        if (pod := pod_of(one)) is not None
        for container in pod["containers"]
    }  # fmt: skip
    assert images == {f"mirror.example/cp@{digest}"}


def test_common_labels_select_nothing_and_change_nothing_that_does() -> None:
    """They stand beside the chart's own."""
    labels = {"team": "platform", "app.kubernetes.io/name": "other"}
    for one in objects(values={"commonLabels": labels, "commonAnnotations": {"contact": "us"}}):
        assert one["metadata"]["labels"]["team"] == "platform"
        assert one["metadata"]["labels"]["app.kubernetes.io/name"] == "tiergate"
        assert one["metadata"]["annotations"]["contact"] == "us"
        if one["kind"] == "Deployment":
            assert "team" not in one["spec"]["selector"]["matchLabels"]


def test_long_names_are_cut_to_what_kubernetes_takes() -> None:
    """With what stands after them."""
    for one in objects(values={"fullnameOverride": "a" * 39 + "-b" * 20}):
        assert len(one["metadata"]["name"]) <= 63


def test_the_chart_s_test_asks_the_service_that_there_is() -> None:
    """At its URL, with the first admin's key."""
    pod = find(control_plane(service={"port": 9000}), "Pod", "shop-tiergate-test")
    (container,) = pod["spec"]["containers"]
    assert container["args"][2] == f"http://{NAME}.plans.svc:9000"
    compile(container["args"][1], "reachable.py", "exec")
