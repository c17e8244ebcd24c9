"""What no object of the chart may be, in any scenario: privileged, unbounded, unwatched, or trusted without need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.helm.charts import SCENARIOS, containers_of, needs_helm, objects, pod_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helm.charts import Object

pytestmark = needs_helm

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda it: it.stem.removesuffix("-values"))

USERS: Final = {65532, 10001}
"""The image's user, and the one that two scenarios choose."""

CHOOSES_USERS: Final = "openshift-values.yaml"
"""The scenario whose cluster chooses the user."""

ROOTED: Final = {("shop-tiergate-daemonset", "folders")}
"""The one container that is root, with one capability: it gives folders of the node to the sidecar's user."""

NODES_OWN: Final = {"shop-tiergate-daemonset"}
"""The one workload that mounts folders of the node."""

ASKS_THE_API: Final = {"secrets", "injector", "control-plane"}
"""The components whose pods talk to the API server, the control plane for the keys by which it reads tokens."""

RESTRICTED_VOLUMES: Final = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def pods(scenario: Path) -> list[tuple[Object, Object]]:
    """Each object of a scenario that is or makes pods, and their specification."""
    return [(one, pod) for one in objects(scenario) if (pod := pod_of(one)) is not None]


def watched(one: Object, container: Object) -> bool:
    """Whether a container runs for long, so that it must be watched: it is no job's, test's or preparation's."""
    if one["kind"] not in {"Deployment", "DaemonSet"}:
        return False
    prepares = container in one["spec"]["template"]["spec"].get("initContainers", [])
    return not prepares or container.get("restartPolicy") == "Always"


@each_scenario
def test_pods_are_restricted(scenario: Path) -> None:
    """As the pod security standard `restricted` says; the daemon set's folders of the node are what it is made for."""
    for one, pod in pods(scenario):
        name = one["metadata"]["name"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"} & pod.keys(), name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for volume in pod.get("volumes", []):
            (kind,) = volume.keys() - {"name"}
            assert kind in RESTRICTED_VOLUMES | ({"hostPath"} if name in NODES_OWN else set()), (name, volume)


@each_scenario
def test_containers_can_do_nothing_but_run(scenario: Path) -> None:
    """No root, no more rights than at the start, no capability, nothing written but to what is mounted."""
    for one, pod in pods(scenario):
        for container in containers_of(pod):
            name = (one["metadata"]["name"], container["name"])
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context.get("privileged", False) is False, name
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert context["capabilities"]["drop"] == ["ALL"], name
            if name in ROOTED:
                assert {*context["capabilities"]["add"]} <= {"CHOWN", "FOWNER", "DAC_OVERRIDE"}, name
                continue
            assert "add" not in context["capabilities"], name
            assert context["runAsNonRoot"] is True, name
            for one_of_both in ("runAsUser", "runAsGroup"):
                assert context.get(one_of_both) == pod["securityContext"].get(one_of_both), name
                assert (context.get(one_of_both) in USERS) is (scenario.name != CHOOSES_USERS), name
            assert not any("hostPort" in port for port in container.get("ports", [])), name


@each_scenario
def test_containers_are_bounded(scenario: Path) -> None:
    """Each says what CPU and memory it needs, and what it may take at most; so do volumes in memory or on the node."""
    for one, pod in pods(scenario):
        for container in containers_of(pod):
            for bound in ("requests", "limits"):
                assert {"cpu", "memory"} <= container["resources"][bound].keys(), (one["metadata"]["name"], bound)


@each_scenario
def test_containers_are_watched(scenario: Path) -> None:
    """By a startup, a readiness and a liveness probe."""
    for one, pod in pods(scenario):
        for container in containers_of(pod):
            if watched(one, container):
                probes = {"startupProbe", "readinessProbe", "livenessProbe"}
                assert probes <= container.keys(), (one["metadata"]["name"], container["name"])


@each_scenario
def test_tokens_are_only_where_they_are_needed(scenario: Path) -> None:
    """No pod mounts its service account's default token; those that ask the API server name what they mount."""
    for one, pod in pods(scenario):
        name = one["metadata"]["name"]
        assert pod["automountServiceAccountToken"] is False, name
        component = one["metadata"]["labels"]["app.kubernetes.io/component"]
        if component not in ASKS_THE_API:
            sources = [it for volume in pod.get("volumes", []) for it in volume.get("projected", {}).get("sources", [])]
            tokens = [it["serviceAccountToken"] for it in sources if "serviceAccountToken" in it]
            assert all(token.get("audience") for token in tokens), f"{name}: a token for the API server"
    for one in objects(scenario):
        if one["kind"] == "ServiceAccount":
            assert one["automountServiceAccountToken"] is False, one["metadata"]["name"]


@each_scenario
def test_nothing_is_allowed_by_a_star(scenario: Path) -> None:
    """Every rule names its groups, resources and verbs; none reads Secrets of other namespaces."""
    for one in objects(scenario):
        if one["kind"] not in {"Role", "ClusterRole"}:
            continue
        for rule in one["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], one["metadata"]["name"]
            assert one["kind"] == "Role" or "secrets" not in rule["resources"], one["metadata"]["name"]


@each_scenario
def test_secrets_are_mounted_and_never_spelt_out(scenario: Path) -> None:
    """No object carries one; what is mounted is not for everybody."""
    for one in objects(scenario):
        assert one["kind"] != "Secret"
    for one, pod in pods(scenario):
        for volume in pod.get("volumes", []):
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440, one["metadata"]["name"]


@each_scenario
def test_images_are_of_a_fixed_version(scenario: Path) -> None:
    """By a tag that is none of those that move, or by a digest."""
    for one, pod in pods(scenario):
        for container in containers_of(pod):
            image = container["image"]
            assert re.search(r"(:[0-9][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$", image), (one["metadata"]["name"], image)
            assert container["imagePullPolicy"] in {"Always", "IfNotPresent", "Never"}
