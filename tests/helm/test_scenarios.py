"""Every scenario of the chart: what Helm makes of it is what Kubernetes takes, the oldest and the newest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
import yaml

from tests.helm.charts import (
    CHART,
    NEWEST,
    OLDEST,
    SCENARIOS,
    UnknownToKubernetesError,
    helm,
    needs_helm,
    notes,
    objects,
    rendered,
    validate,
)
from tiergate import __version__

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_helm

CUSTOM: Final = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("cert-manager.io/v1", "Certificate"),
    ("cert-manager.io/v1", "Issuer"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
}
"""What operators bring that need not be there: Kubernetes itself has no schema of them."""

SCOPELESS: Final = {"ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration"}

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda it: it.stem.removesuffix("-values"))


def test_the_chart_is_of_the_version_that_it_installs() -> None:
    """And asks for a Kubernetes that knows native sidecars."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == __version__
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"


@each_scenario
def test_lint_finds_nothing(scenario: Path) -> None:
    """Warnings included."""
    done = helm("lint", "--strict", CHART, "--kube-version", OLDEST, "--values", scenario)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("kubernetes", [OLDEST, NEWEST])
@each_scenario
def test_kubernetes_knows_every_field(scenario: Path, kubernetes: str) -> None:
    """By its own schemas, in which no field is one too many."""
    checked = 0
    for one in objects(scenario, kubernetes=kubernetes):
        if (one["apiVersion"], one["kind"]) not in CUSTOM:
            validate(one, kubernetes)
            checked += 1
    assert checked > 0


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    """Or the test above shows nothing."""
    found = next(it for it in objects(SCENARIOS[0]) if it["kind"] == "Deployment")
    found["spec"]["template"]["spec"]["securityContex"] = {}
    with pytest.raises(UnknownToKubernetesError, match="securityContex"):
        validate(found, OLDEST)


@each_scenario
def test_every_object_has_its_place_and_its_labels(scenario: Path) -> None:
    """A name that fits, the release's namespace, the recommended labels; and no two are the same."""
    seen = set()
    for one in objects(scenario):
        metadata = one["metadata"]
        labels = metadata["labels"]
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", metadata["name"])
        assert metadata.get("namespace") == (None if one["kind"] in SCOPELESS else "plans"), metadata["name"]
        assert labels["app.kubernetes.io/name"] == "tiergate"
        assert labels["app.kubernetes.io/instance"] == "shop"
        assert labels["app.kubernetes.io/part-of"] == "tiergate"
        assert labels["app.kubernetes.io/version"] == __version__
        assert labels["app.kubernetes.io/component"]
        seen.add((one["kind"], metadata["name"]))
    assert len(seen) == len(objects(scenario))


@each_scenario
def test_what_selects_pods_finds_them(scenario: Path) -> None:
    """Services, disruption budgets and workloads, by labels that never change with a release."""
    found = objects(scenario)
    pods = [it["spec"]["template"]["metadata"]["labels"] for it in found if it["kind"] in {"Deployment", "DaemonSet"}]
    for one in found:
        match one["kind"]:
            case "Service":
                selector = one["spec"]["selector"]
            case "Deployment" | "DaemonSet" | "PodDisruptionBudget":
                selector = one["spec"]["selector"]["matchLabels"]
            case "NetworkPolicy" if "matchExpressions" not in one["spec"]["podSelector"]:  # of the Jobs: no such pods
                selector = one["spec"]["podSelector"]["matchLabels"]
            case _:
                continue
        assert sum(selector.items() <= labels.items() for labels in pods) == 1, one["metadata"]["name"]
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & selector.keys()


@each_scenario
def test_a_release_over_itself_changes_nothing(scenario: Path) -> None:
    """Neither names nor values are drawn by chance, or taken from the clock or from whether it is an upgrade."""
    assert rendered(scenario) == rendered(scenario) == rendered(scenario, more=("--is-upgrade",))


@each_scenario
def test_the_notes_say_what_to_do_next(scenario: Path, tmp_path: Path) -> None:
    """Without anything left open."""
    said = notes(scenario, folder=tmp_path)
    assert "is installed as shop in plans" in said
    assert "<no value>" not in said
    assert "%!" not in said


@each_scenario
def test_nothing_is_rendered_of_what_is_missing(scenario: Path) -> None:
    """No value that is not there shows as a word."""
    text = rendered(scenario)
    assert "<no value>" not in text
    assert "%!" not in text
    assert "map[" not in text
