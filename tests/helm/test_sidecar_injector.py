"""The injector in the chart: whom it is asked about, what it may, whom it is believed by, what it is told."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.helm.charts import CHART, ROOT, find, needs_helm, objects, refusal
from tests.system.processes import sidecar
from tiergate.cluster.injector import settings as injector_settings
from tiergate.cluster.injector.annotations import DEFAULT_ANNOTATIONS, LABEL
from tiergate.cluster.injector.webhook import PATH

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helm.charts import Object

pytestmark = needs_helm

OWN: Final = CHART / "ci" / "injector-values.yaml"
ELSEWHERE: Final = CHART / "ci" / "injector-without-control-plane-values.yaml"
GIVEN: Final = CHART / "ci" / "injector-given-issuer-values.yaml"
SCENARIOS: Final = (OWN, ELSEWHERE, GIVEN)
each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda it: it.stem.removesuffix("-values"))

CATALOG: Final = ROOT / "examples" / "streaming" / "catalog.yaml"
NAME: Final = "shop-tiergate-injector"
WEBHOOK: Final = "plans-shop-tiergate-injector"


def webhook(found: tuple[Object, ...]) -> Object:
    """The one webhook of a release."""
    (one,) = find(found, "MutatingWebhookConfiguration", WEBHOOK)["webhooks"]
    return dict(one)


def pod(found: tuple[Object, ...]) -> Object:
    """The specification of the injector's pods."""
    return dict(find(found, "Deployment", NAME)["spec"]["template"]["spec"])


def told(found: tuple[Object, ...]) -> dict[str, Any]:
    """The injector's settings file."""
    return tomllib.loads(find(found, "ConfigMap", NAME)["data"]["injector.toml"])


def test_nothing_of_it_is_there_unless_it_is_wanted() -> None:
    """A chart that is for one namespace must not ask for more."""
    found = objects()
    assert not {it["kind"] for it in found} & {"MutatingWebhookConfiguration", "ClusterRole", "ClusterRoleBinding"}
    assert "injector" not in {it["metadata"]["labels"]["app.kubernetes.io/component"] for it in found}


@each_scenario
def test_only_new_pods_with_the_label_go_through_it(scenario: Path) -> None:
    """All other pods of the cluster do not depend on it."""
    one = webhook(objects(scenario))
    other = {"key": "tiergate.dev/revision", "operator": "DoesNotExist"}
    assert one["objectSelector"] == {"matchLabels": {LABEL: "true"}, "matchExpressions": [other]}
    assert one["rules"] == [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["pods"],
            "scope": "Namespaced",
        }
    ]
    excluded = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "kube-node-lease"]}
    assert excluded in one["namespaceSelector"]["matchExpressions"]
    assert one["sideEffects"] == "None"


def test_a_pod_that_asks_for_a_sidecar_does_not_run_without_one_by_chance() -> None:
    """Unless the operator says so."""
    assert webhook(objects(OWN))["failurePolicy"] == "Fail"
    assert webhook(objects(ELSEWHERE))["failurePolicy"] == "Ignore"


@each_scenario
def test_the_webhook_is_where_the_injector_serves(scenario: Path) -> None:
    """By the Service, to the port and the path that it has."""
    found = objects(scenario)
    client = webhook(found)["clientConfig"]
    assert client["service"] == {"name": NAME, "namespace": "plans", "path": PATH, "port": 443}
    (port,) = find(found, "Service", NAME)["spec"]["ports"]
    (container,) = pod(found)["containers"]
    numbers = {it["name"]: it["containerPort"] for it in container["ports"]}
    assert (port["port"], numbers[port["targetPort"]]) == (443, told(found)["port"])
    assert numbers["probes"] == told(found)["probe-port"]


@each_scenario
def test_whom_the_api_server_trusts_is_not_the_charts_to_say(scenario: Path) -> None:
    """An upgrade would take away what the injector, or cert-manager, has said since."""
    assert "caBundle" not in webhook(objects(scenario))["clientConfig"]


@each_scenario
def test_its_settings_are_settings_of_it(scenario: Path, tmp_path: Path) -> None:
    """And fit together."""
    path = tmp_path / "injector.toml"
    path.write_text(find(objects(scenario), "ConfigMap", NAME)["data"]["injector.toml"], encoding="utf-8")
    settings = injector_settings.resolve({"settings": path}, {})
    assert str(settings.sidecar_file) == "/etc/tiergate/config/sidecar.yaml"
    assert (settings.tls_cert is None) == (scenario == OWN)
    assert settings.log_format == ("console" if scenario == ELSEWHERE else "json")
    assert settings.allow_annotation == (("containers", "log-level") if scenario == ELSEWHERE else DEFAULT_ANNOTATIONS)


@each_scenario
def test_every_file_that_its_settings_name_is_mounted(scenario: Path) -> None:
    """From a volume that has just that file."""
    found = objects(scenario)
    settings = told(found)
    named = [settings["sidecar-file"], *settings.get("public-key", [])]
    named += [settings[it] for it in ("control-plane-ca", "tls-cert", "tls-key") if it in settings]
    assert set(named) <= files(found)
    assert len(settings.get("public-key", [])) == (0 if scenario == ELSEWHERE else 1)
    assert ("control-plane-ca" in settings) == (scenario == OWN)


def files(found: tuple[Object, ...]) -> set[str]:
    """The paths of all files that the injector's container has of Secrets and ConfigMaps."""
    spec = pod(found)
    contents: dict[str, list[str]] = {}
    for volume in spec["volumes"]:
        if "secret" in volume:
            contents[volume["name"]] = [it["path"] for it in volume["secret"]["items"]]
        elif "configMap" in volume:
            contents[volume["name"]] = list(find(found, "ConfigMap", volume["configMap"]["name"])["data"])
    (container,) = spec["containers"]
    return {f"{it['mountPath']}/{name}" for it in container["volumeMounts"] for name in contents.get(it["name"], [])}


def test_a_change_of_what_it_reads_at_the_start_makes_its_pods_anew() -> None:
    """Or an annotation that is allowed no more would go on being followed; what it follows by itself leaves them."""

    def mark(injector: Object, **values: object) -> Any:  # noqa: ANN401 - as it is read
        found = objects(values={"injector": {"enabled": True, **injector}, **values})
        return find(found, "Deployment", NAME)["spec"]["template"]["metadata"]["annotations"]

    assert mark({"allowedAnnotations": ["containers"]}) != mark({}) != mark({"settings": {"log-level": "debug"}})
    assert mark({}) == mark({}, sidecar={"settings": {"log-level": "debug"}})


@each_scenario
def test_no_private_key_of_the_store_comes_near_it(scenario: Path) -> None:
    """Of the Secret with the signing key it has the public half, and nothing of the others."""
    keys = {
        (volume["secret"]["secretName"], item["key"])
        for volume in pod(objects(scenario))["volumes"]
        for item in volume.get("secret", {}).get("items", [None])
        if item is not None
    }
    assert all(name.endswith("-tls") or key == "public-key.pem" for name, key in keys)
    assert ("entitlements-tls", "tls.key") not in keys
    assert all("items" in volume["secret"] for volume in pod(objects(scenario))["volumes"] if "secret" in volume)


def test_it_may_do_with_its_own_certificate_what_it_has_to_and_nothing_else() -> None:
    """One Secret and one webhook by their names; only creating a Secret cannot be bound to one."""
    found = objects(OWN)
    settings = told(found)
    assert (settings["service"], settings["webhook"]) == (NAME, WEBHOOK)
    assert find(found, "Role", NAME)["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": [settings["certificate-secret"]],
            "verbs": ["get", "patch"],
        },
    ]
    assert find(found, "ClusterRole", WEBHOOK)["rules"] == [
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations"],
            "resourceNames": [WEBHOOK],
            "verbs": ["get", "patch"],
        }
    ]
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": "plans"}
    assert find(found, "RoleBinding", NAME)["subjects"] == [account]
    assert find(found, "ClusterRoleBinding", WEBHOOK)["subjects"] == [account]
    assert pod(found)["serviceAccountName"] == NAME


@pytest.mark.parametrize("scenario", [ELSEWHERE, GIVEN])
def test_it_may_do_nothing_at_all_with_a_certificate_of_cert_managers(scenario: Path) -> None:
    """Neither does it have a token for the API server."""
    found = objects(scenario)
    granted = {it["metadata"]["name"] for it in found if it["kind"] in {"Role", "ClusterRole"}}
    assert not {NAME, WEBHOOK} & granted
    assert not any("projected" in volume for volume in pod(found)["volumes"])


@pytest.mark.parametrize("scenario", [ELSEWHERE, GIVEN])
def test_a_certificate_of_cert_managers_is_for_the_name_that_is_called(scenario: Path) -> None:
    """It is told to the webhook, and mounted."""
    found = objects(scenario)
    certificate = find(found, "Certificate", f"{NAME}-tls")
    service = webhook(found)["clientConfig"]["service"]
    assert f"{service['name']}.{service['namespace']}.svc" in certificate["spec"]["dnsNames"]
    annotations = find(found, "MutatingWebhookConfiguration", WEBHOOK)["metadata"]["annotations"]
    assert annotations["cert-manager.io/inject-ca-from"] == f"plans/{certificate['metadata']['name']}"
    (mounted,) = (it["secret"] for it in pod(found)["volumes"] if it["name"] == "certificate")
    assert mounted["secretName"] == certificate["spec"]["secretName"]


def test_without_an_issuer_the_chart_makes_an_authority_of_its_own() -> None:
    """A certificate that signs, by an issuer that signs itself, is what the webhook's own is signed by."""
    found = objects(ELSEWHERE)
    authority = find(found, "Certificate", f"{NAME}-authority")["spec"]
    assert authority["isCA"] is True
    assert find(found, "Issuer", authority["issuerRef"]["name"])["spec"] == {"selfSigned": {}}
    served = find(found, "Certificate", f"{NAME}-tls")["spec"]["issuerRef"]
    assert find(found, "Issuer", served["name"])["spec"] == {"ca": {"secretName": authority["secretName"]}}


def test_an_issuer_that_is_there_is_used() -> None:
    """And no other one made."""
    found = objects(GIVEN)
    issuer = find(found, "Certificate", f"{NAME}-tls")["spec"]["issuerRef"]
    assert issuer == {"name": "internal", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert "Issuer" not in {it["kind"] for it in found}


def test_one_replica_can_be_evicted() -> None:
    """A budget for it would hold up the draining of its node for ever."""
    budgets = {it["metadata"]["name"] for it in objects(GIVEN) if it["kind"] == "PodDisruptionBudget"}
    assert NAME not in budgets
    assert find(objects(OWN), "PodDisruptionBudget", NAME)["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"controlPlane": {"enabled": False}}, "`sidecar.publicKeys` is needed"),
        (
            {
                "controlPlane": {"enabled": False},
                "sidecar": {"publicKeys": ["-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"]},
            },
            "`sidecar.controlPlane.url` is needed",
        ),
    ],
)
def test_without_a_control_plane_it_must_be_said_what_is_followed(values: dict[str, Any], said: str) -> None:
    """And by which keys it is believed."""
    assert said in refusal(values | {"injector": {"enabled": True}})


@each_scenario
def test_helm_test_asks_for_a_sidecar_as_any_pod_does(scenario: Path) -> None:
    """By the label, and by nothing that the injector would not put there."""
    found = objects(scenario)
    test = find(found, "Pod", "shop-tiergate-injection-test")
    assert webhook(found)["objectSelector"]["matchLabels"].items() <= test["metadata"]["labels"].items()
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert [it["name"] for it in test["spec"]["containers"]] == ["injected"]
    assert not {"initContainers", "volumes"} & test["spec"].keys()


def test_helm_test_passes_where_a_sidecar_answers_and_fails_where_there_is_none(tmp_path: Path) -> None:
    """The program in the manifest, run beside a real sidecar."""
    (container,) = find(objects(OWN), "Pod", "shop-tiergate-injection-test")["spec"]["containers"]
    program = [sys.executable, *container["args"]]
    uds = tmp_path / "sidecar.sock"
    with sidecar("--catalog", CATALOG, "--subjects", CATALOG.with_name("subjects.yaml"), "--uds", uds):
        answered = subprocess.run(
            program, env={"TIERGATE_SIDECAR_SOCKET": os.fspath(uds)}, capture_output=True, text=True, check=False
        )
    assert answered.returncode == 0, answered.stderr
    assert "the sidecar answers with 404" in answered.stdout
    for environ in ({}, {"TIERGATE_SIDECAR_SOCKET": os.fspath(uds)}):
        assert subprocess.run(program, env=environ, capture_output=True, check=False).returncode != 0
