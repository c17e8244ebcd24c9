"""The sidecar in a pod: the named templates and the injector make the same of the same values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
import yaml

from tests.admissions import PUBLIC_KEY, asked, inject, patched
from tests.helm.charts import CHART, NEWEST, OLDEST, find, helm, needs_helm, objects, validate
from tests.helm.example_chart import assembled, deployment
from tiergate.cluster.injector import settings as injector_settings
from tiergate.cluster.injector.annotations import LABEL
from tiergate.cluster.injector.operator_config import OperatorConfig
from tiergate.cluster.injector.pod_template import app_env, app_mounts, read_sidecar, sidecar_container, sidecar_volumes
from tiergate.sidecar.setting_sources import resolve
from tiergate.sidecar.settings import TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helm.charts import Object
    from tiergate.cluster.injector.pod_template import Sidecar

pytestmark = needs_helm

EVERYTHING: Final[dict[str, Any]] = yaml.safe_load(
    (CHART / "ci" / "injector-without-control-plane-values.yaml").read_text(encoding="utf-8")
)["sidecar"]
URL: Final = "https://entitlements.shop.example"
BASE: Final[dict[str, Any]] = {"controlPlane": {"url": URL}, "publicKeys": [PUBLIC_KEY]}

VALUES: Final[dict[str, dict[str, Any]]] = {
    "as they are": BASE,
    "all of them": EVERYTHING,
    "plain HTTP": BASE | {"controlPlane": {"url": "http://tiergate.plans.svc:8440"}},
    "two keys": BASE | {"publicKeys": [PUBLIC_KEY, *EVERYTHING["publicKeys"]]},
    "no deadline": BASE | {"startupDeadline": 0},
    "part of a second": BASE | {"startupDeadline": 0.25},
    "no class of volumes": BASE | {"data": {"type": "ephemeral", "storageClass": "-"}},
    "a volume that the pod has": BASE | {"data": {"type": "volume", "name": "usage"}},
    "a folder of an object store": BASE | {"objectStoreVolume": {"nfs": {"server": "files.example", "path": "/plans"}}},
    "quantities as numbers": BASE | {"resources": {"requests": {"cpu": 1, "memory": 134217728}}},
    "settings of every type": BASE
    | {
        "settings": {
            "on-demand": False,
            "on-demand-keep": 123456789,
            "max-staleness": 0.5,
            "stale-deny": ["*"],
            "object-store": "file:///cache",
            "max-body": 1048576,
        }
    },
}
each_value = pytest.mark.parametrize("sidecar", VALUES.values(), ids=VALUES.keys())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart of one's own."""
    return assembled(tmp_path_factory.mktemp("charts"))


def configuration(values: dict[str, Any]) -> dict[str, str]:
    """What the injector is told by a release `shop` that has no control plane."""
    found = objects(values={"controlPlane": {"enabled": False}, "injector": {"enabled": True}, "sidecar": values})
    return dict(find(found, "ConfigMap", "shop-tiergate-injector")["data"])


def words(values: dict[str, Any]) -> Sidecar:
    """The sidecar that a release says to the injector."""
    return read_sidecar(configuration(values)["sidecar.yaml"].encode())


def pod(chart: Path, values: dict[str, Any]) -> Object:
    """The pod's specification in a chart of one's own."""
    return dict(deployment(chart, values)["spec"]["template"]["spec"])


@each_value
def test_the_named_templates_make_what_the_injector_makes(shop: Path, sidecar: dict[str, Any]) -> None:
    """The container, the volumes, and what another container gets of them."""
    made, said = pod(shop, sidecar), words(sidecar)
    (init,) = made["initContainers"]
    (app,) = made["containers"]
    assert init == msgspec.to_builtins(sidecar_container(said))
    assert made["volumes"] == sidecar_volumes(said)
    assert app["env"] == app_env(said)
    assert app["volumeMounts"] == app_mounts(said)


@each_value
def test_a_sidecar_starts_with_what_it_is_given(shop: Path, sidecar: dict[str, Any]) -> None:
    """Every variable is a setting of the sidecar, and all of them fit together."""
    (init,) = pod(shop, sidecar)["initContainers"]
    environ = {it["name"]: it["value"] for it in init["env"]}
    settings = resolve({}, environ)
    assert TABLE.unknown_variables(environ) == ()
    assert settings.control_plane == sidecar["controlPlane"]["url"]
    assert len(settings.public_key_pem) == len(sidecar["publicKeys"])
    assert settings.startup_deadline == (sidecar.get("startupDeadline", 30) or None)
    assert str(settings.data) == "/var/lib/tiergate"
    assert str(settings.uds) == sidecar.get("socketPath", "/run/tiergate/sidecar.sock")


def test_a_pod_that_the_injector_changed_is_the_one_of_the_templates(shop: Path, tmp_path: Path) -> None:
    """From the release's own files to a real review, what is injected is what a chart would have said."""
    for name, text in configuration(EVERYTHING).items():
        (tmp_path / name).write_text(text.replace("/etc/tiergate/config", os.fspath(tmp_path)), encoding="utf-8")
    settings = injector_settings.resolve({"settings": tmp_path / "injector.toml"}, {})
    said = OperatorConfig(settings, TABLE, lambda environ: resolve({}, environ))
    document = asked("least")
    changed = patched(document, inject(document, said.injection))["spec"]
    expected = pod(shop, EVERYTHING)
    assert changed["initContainers"] == expected["initContainers"]
    assert [it for it in changed["volumes"] if it["name"].startswith("tiergate-")] == expected["volumes"]
    assert changed["containers"][0]["env"] == expected["containers"][0]["env"]


def test_what_is_adjusted_for_one_workload_is_so_for_it_alone(shop: Path) -> None:
    """A dict with `sidecar` says what is other than in the values."""
    template = shop / "templates" / "deployment.yaml"
    text = template.read_text(encoding="utf-8")
    adjusted = '(dict "root" $tiergate "sidecar" (dict "port" 9000 "resources" (dict "limits" (dict "memory" "2Gi"))))'
    try:
        template.write_text(text.replace('initContainer" $tiergate', f'initContainer" {adjusted}'), encoding="utf-8")
        made = pod(shop, BASE)
        template.write_text(text.replace("$tiergate |", '(dict "root" $tiergate "sidecar" (dict "prot" 1)) |'))
        refused = helm("template", shop, "--kube-version", NEWEST, values={"tiergate": {"sidecar": BASE}})
    finally:
        template.write_text(text, encoding="utf-8")
    (init,) = made["initContainers"]
    assert {"name": "TIERGATE_PORT", "value": "9000"} in init["env"]
    assert init["resources"]["limits"] == {"cpu": "1", "memory": "2Gi"}
    assert {"name": "TIERGATE_SIDECAR_URL", "value": "http://127.0.0.1:8437"} in made["containers"][0]["env"]
    assert "`sidecar` was given `prot`, and there is no such value" in refused.stderr


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("publicKeys", "`sidecar.publicKeys` is needed"),
        ("controlPlane", "`sidecar.controlPlane.url` is needed"),
        ("data", "`sidecar.data.name` is needed"),
    ],
)
def test_a_chart_without_what_a_sidecar_needs_is_not_rendered(shop: Path, missing: str, said: str) -> None:
    """It says what is missing, instead of making pods that never start."""
    emptied = {"publicKeys": [], "controlPlane": {"url": ""}, "data": {"type": "volume"}}[missing]
    values = {"tiergate": {"sidecar": BASE | {missing: emptied}}}
    done = helm("template", shop, "--kube-version", NEWEST, values=values)
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize("kubernetes", [OLDEST, NEWEST])
@pytest.mark.parametrize("sidecar", [BASE, EVERYTHING], ids=["as they are", "all of them"])
def test_kubernetes_knows_every_field_of_the_example(shop: Path, sidecar: dict[str, Any], kubernetes: str) -> None:
    """By its own schemas, in which no field is one too many."""
    validate(deployment(shop, sidecar, kubernetes), kubernetes)


def test_prometheus_finds_the_example_and_the_injector_leaves_it(shop: Path) -> None:
    """By the same label: the monitor looks whether it is there, the webhook whether it is `true`."""
    labels = deployment(shop, BASE)["spec"]["template"]["metadata"]["labels"]
    found = objects(values={"injector": {"enabled": True}, "monitoring": {"podMonitor": {"enabled": True}}})
    (asked_for,) = find(found, "PodMonitor", "shop-tiergate-sidecars")["spec"]["selector"]["matchExpressions"]
    assert asked_for == {"key": LABEL, "operator": "Exists"}
    (webhook,) = find(found, "MutatingWebhookConfiguration", "plans-shop-tiergate-injector")["webhooks"]
    assert labels[LABEL] != webhook["objectSelector"]["matchLabels"][LABEL]


def test_lint_finds_nothing_in_the_example(shop: Path) -> None:
    """Warnings included."""
    values = {"tiergate": {"sidecar": BASE}}
    done = helm("lint", "--strict", shop, "--kube-version", OLDEST, values=values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def test_a_chart_of_ones_own_has_nothing_else_of_this_one(shop: Path) -> None:
    """Neither a control plane nor anything for the whole cluster comes with the named templates."""
    done = helm("template", "shop", shop, "--kube-version", NEWEST, values={"tiergate": {"sidecar": BASE}})
    kinds = sorted(it["kind"] for it in yaml.safe_load_all(done.stdout) if it)
    assert kinds == ["Deployment", "ServiceAccount"]
