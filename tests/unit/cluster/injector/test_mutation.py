from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.admissions import answer, asked, inject, injection, patched, read_review
from tiergate.cluster.injector.mutation import ReviewError, review_pod
from tiergate.cluster.injector.pod_template import app_env, app_mounts, sidecar_container, sidecar_volumes

if TYPE_CHECKING:
    from tests.conftest import Golden

SIDECAR = injection().sidecar


def by_name(several: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Containers or volumes by their names."""
    return {one["name"]: one for one in several}


def refusal(document: dict[str, Any]) -> str:
    """Why a pod is refused."""
    response = answer(inject(document))
    assert not response["allowed"]
    assert "patch" not in response
    return str(response["status"]["message"])


def test_a_pod_comes_back_with_the_sidecar(golden: Golden) -> None:
    """All of it stands in a file, to be read."""
    document = read_review("shop")
    pod = patched(document, inject(document))
    golden(Path(__file__).parent / "golden" / "shop.json", json.dumps(pod, indent=2) + "\n")


def test_what_is_injected_is_the_template() -> None:
    """The container first of all init containers, the volumes, and for each container variables and the mount."""
    document = read_review("least")
    before = document["request"]["object"]["spec"]
    spec = patched(document, inject(document))["spec"]
    assert spec["initContainers"] == [sidecar_container(SIDECAR)]
    assert spec["volumes"] == sidecar_volumes(SIDECAR)
    assert spec["containers"] == [
        {**one, "env": app_env(SIDECAR), "volumeMounts": app_mounts(SIDECAR)} for one in before["containers"]
    ]


@pytest.mark.parametrize("name", ["shop", "least"])
def test_nothing_that_was_there_is_changed(name: str) -> None:
    """Without what was injected, the pod is as it was."""
    document = read_review(name)
    before, after = document["request"]["object"], patched(document, inject(document))
    del after["metadata"]["annotations"]["tiergate.dev/status"]
    spec = after["spec"]
    spec["initContainers"] = [one for one in spec["initContainers"] if one["name"] != "tiergate"]
    spec["volumes"] = [one for one in spec["volumes"] if not one["name"].startswith("tiergate-")]
    for one in (*spec["containers"], *spec["initContainers"]):
        one["env"] = [it for it in one.get("env", []) if not it["name"].startswith("TIERGATE_SIDECAR_")]
        one["volumeMounts"] = [it for it in one.get("volumeMounts", []) if it["name"] != "tiergate-socket"]
    assert without_nothing(after) == without_nothing(before)


def without_nothing(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """JSON without members that are empty lists or objects: to an API server they are not there."""
    if isinstance(value, dict):
        members = {name: without_nothing(one) for name, one in value.items()}
        return {name: one for name, one in members.items() if one not in ([], {})}
    return [without_nothing(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["shop", "least"])
def test_injecting_twice_is_injecting_once(name: str) -> None:
    """The API server asks again when another webhook has changed the pod; the answer is no patch."""
    document = read_review(name)
    document["request"]["object"] = patched(document, inject(document))
    again = inject(document)
    assert again.result == "unchanged"
    assert "patch" not in answer(again)


def test_a_pod_that_was_injected_before_is_left() -> None:
    """As a real API server asks about it, with all its defaults."""
    assert inject(read_review("injected")).result == "unchanged"


def test_a_status_alone_is_no_sidecar() -> None:
    """An annotation that was copied from another pod does not keep the sidecar away."""
    assert inject(asked(annotations={"status": "{}"})).result == "injected"


@pytest.mark.parametrize("labels", [{}, None, {"tiergate.dev/inject": "false"}, {"tiergate.dev/inject": "True"}])
def test_a_pod_that_does_not_ask_is_left(labels: dict[str, str] | None) -> None:
    """Even where the webhook's configuration sends it here."""
    document = read_review("least")
    document["request"]["object"]["metadata"]["labels"] = labels
    assert "patch" not in answer(inject(document))


@pytest.mark.parametrize(("member", "value"), [("operation", "UPDATE"), ("subResource", "ephemeralcontainers")])
def test_only_new_pods_are_changed(member: str, value: str) -> None:
    """The containers of a pod that runs cannot be changed."""
    document = read_review("least")
    document["request"][member] = value
    assert answer(inject(document)) == {"uid": document["request"]["uid"], "allowed": True}


def test_the_named_containers_alone_get_the_socket() -> None:
    """Of `shop`, an init container and one of two containers."""
    document = read_review("shop")
    spec = patched(document, inject(document))["spec"]
    every = by_name([*spec["initContainers"], *spec["containers"]])
    served = {name for name, one in every.items() if any("SIDECAR" in it["name"] for it in one.get("env", []))}
    assert served == {"migrate", "shop"}
    mounting = {
        name
        for name, one in every.items()
        if any(it["name"] == "tiergate-socket" for it in one.get("volumeMounts", []))
    }
    assert mounting == {"migrate", "shop", "tiergate"}


def test_a_status_says_what_was_done() -> None:
    """In JSON, for people and tools."""
    document = read_review("shop")
    status = patched(document, inject(document))["metadata"]["annotations"]["tiergate.dev/status"]
    assert json.loads(status) == {
        "version": "1.2.3",
        "container": "tiergate",
        "containers": ["shop", "migrate"],
        "adjusted": ["containers", "log-level"],
    }


def test_a_container_s_own_variable_stays() -> None:
    """One that it has already is not set a second time."""
    own = {"name": "TIERGATE_SIDECAR_URL", "value": "http://elsewhere"}
    document = asked(containers=[{"name": "shop", "image": "shop", "env": [own]}])
    (one,) = patched(document, inject(document))["spec"]["containers"]
    assert [it["name"] for it in one["env"]] == ["TIERGATE_SIDECAR_SOCKET", "TIERGATE_SIDECAR_URL"]
    assert one["env"][1] == own


def test_variables_come_before_those_that_refer_to_them() -> None:
    """Kubernetes replaces `$(NAME)` only where `NAME` stands earlier in the list."""
    document = read_review("shop")
    spec = patched(document, inject(document))["spec"]
    names = [it["name"] for it in by_name(spec["containers"])["shop"]["env"]]
    assert names.index("TIERGATE_SIDECAR_URL") < names.index("ENTITLEMENTS")


ISTIO = [{"name": "istio-init", "image": "i"}, {"name": "istio-proxy", "image": "i", "restartPolicy": "Always"}]
LINKERD = [{"name": "linkerd-init", "image": "i"}, {"name": "linkerd-proxy", "image": "i", "restartPolicy": "Always"}]
CLASSIC_PROXY = [{"name": "istio-proxy", "image": "i"}]  # one that ends, as before native sidecars
MIGRATE = [{"name": "migrate", "image": "i"}]


@pytest.mark.parametrize(
    ("order", "init", "place"),
    [
        ("first", MIGRATE, 0),
        ("last", MIGRATE, 1),
        ("", MIGRATE, 0),
        ("", [], 0),
        ("last", [], 0),
        ("after:migrate", MIGRATE, 1),
        ("after:migrate", [*MIGRATE, *ISTIO], 1),
        ("", [*ISTIO, *MIGRATE], 2),
        ("", LINKERD, 2),
        ("", CLASSIC_PROXY, 0),
        ("first", ISTIO, 0),
    ],
)
def test_a_sidecar_starts_where_it_is_wanted(order: str, init: list[dict[str, Any]], place: int) -> None:
    """Init containers start in their order: without a wish, after a mesh's proxy that is a sidecar too, or first."""
    document = asked(annotations={"order": order} if order else {}, initContainers=init)
    names = [one["name"] for one in patched(document, inject(document))["spec"]["initContainers"]]
    expected = [one["name"] for one in init]
    assert names == [*expected[:place], "tiergate", *expected[place:]]


@pytest.mark.parametrize(("order", "refused"), [("last", True), ("after:migrate", True), ("first", False), ("", False)])
def test_an_init_container_that_asks_must_come_after_the_sidecar(order: str, refused: bool) -> None:
    """Or it would run to its end, and find nobody."""
    annotations = {"containers": "shop,migrate"} | ({"order": order} if order else {})
    document = asked(annotations=annotations, initContainers=MIGRATE)
    if refused:
        assert "init container `migrate` would run before the sidecar" in refusal(document)
    else:
        assert inject(document).result == "injected"


def test_an_order_after_a_container_that_is_not_there_is_refused() -> None:
    """It is named."""
    assert "names `migrat`" in refusal(asked(annotations={"order": "after:migrat"}, initContainers=MIGRATE))


@pytest.mark.parametrize(
    ("parts", "by_command"),
    [
        ({"initContainers": ISTIO}, True),
        ({"containers": [{"name": "shop"}, {"name": "linkerd-proxy"}]}, True),
        ({"initContainers": MIGRATE}, False),
    ],
)
def test_beside_a_mesh_the_kubelet_runs_a_command(parts: dict[str, Any], by_command: bool) -> None:
    """A mesh that demands its own TLS resets the kubelet's plain HTTP."""
    document = asked(**parts)
    init = patched(document, inject(document))["spec"]["initContainers"]
    (sidecar,) = (one for one in init if one["name"] == "tiergate")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert ("exec" in sidecar[probe], "httpGet" in sidecar[probe]) == (by_command, not by_command)


def test_what_the_operator_adds_is_there() -> None:
    """Variables, volumes, mounts, and Secrets to pull the image with, each once."""
    given = injection(
        extra_env=({"name": "AWS_ENDPOINT_URL", "value": "https://minio"},),
        extra_env_from=({"secretRef": {"name": "bucket"}},),
        extra_volumes=({"name": "tiergate-ca", "configMap": {"name": "ca"}},),
        extra_volume_mounts=({"name": "tiergate-ca", "mountPath": "/ca"},),
        image_pull_secrets=("corp", "own"),
    )
    document = asked(imagePullSecrets=[{"name": "own"}])
    spec = patched(document, review_pod(msgspec.json.encode(document), given))["spec"]
    (sidecar,) = spec["initContainers"]
    assert {"name": "AWS_ENDPOINT_URL", "value": "https://minio"} in sidecar["env"]
    assert sidecar["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert {"name": "tiergate-ca", "mountPath": "/ca"} in sidecar["volumeMounts"]
    assert {"name": "tiergate-ca", "configMap": {"name": "ca"}} in spec["volumes"]
    assert spec["imagePullSecrets"] == [{"name": "own"}, {"name": "corp"}]


def test_a_container_that_is_added_later_is_served_too() -> None:
    """Another webhook adds one, and the pod is reviewed again: nothing else changes, and then nothing at all."""
    document = asked()
    pod = patched(document, inject(document))
    again = json.loads(json.dumps(document))
    again["request"]["object"] = pod
    assert inject(again).result == "unchanged"
    pod["spec"]["containers"].append({"name": "agent", "image": "a"})
    after = patched(again, inject(again))
    *before, agent = after["spec"]["containers"]
    assert before == pod["spec"]["containers"][:-1]
    assert [one["name"] for one in agent["env"]] == ["TIERGATE_SIDECAR_URL", "TIERGATE_SIDECAR_SOCKET"]
    assert [one["name"] for one in agent["volumeMounts"]] == ["tiergate-socket"]
    assert after["spec"]["initContainers"] == pod["spec"]["initContainers"]
    again["request"]["object"] = after
    assert inject(again).result == "unchanged"


OBSTACLES: dict[str, tuple[dict[str, Any], str]] = {
    "a container of this name": (
        {"containers": [{"name": "tiergate", "image": "x"}]},
        "a container is named `tiergate` already",
    ),
    "an init container of this name": (
        {"initContainers": [{"name": "tiergate", "image": "x", "restartPolicy": "Always"}]},
        "a container is named `tiergate` already",
    ),
    "a volume of this name": (
        {"volumes": [{"name": "tiergate-token", "emptyDir": {}}]},
        "a volume is named `tiergate-token` already",
    ),
    "the API's port": (
        {"containers": [{"name": "shop", "ports": [{"containerPort": 8437}]}]},
        "container `shop` uses port 8437: choose another one for the sidecar by `tiergate.dev/port`",
    ),
    "the probes' port": (
        {"containers": [{"name": "shop", "ports": [{"containerPort": 8438}]}]},
        "choose another one for the sidecar by `tiergate.dev/probe-port`",
    ),
    "a mount in the socket's place": (
        {"containers": [{"name": "shop", "volumeMounts": [{"name": "x", "mountPath": "/run/tiergate/"}]}]},
        "container `shop` mounts something at `/run/tiergate` already",
    ),
    "a mount of the sidecar's token": (
        {"containers": [{"name": "shop", "volumeMounts": [{"name": "tiergate-token", "mountPath": "/x"}]}]},
        "container `shop` mounts the volume `tiergate-token`, which is the sidecar's",
    ),
    "no volume for the data": (
        {"annotations": {"data-volume": "usage"}},
        "the data should be in the volume `usage`, and the pod has no such volume",
    ),
    "a mount of the volume for the data": (
        {
            "annotations": {"data-volume": "usage"},
            "volumes": [{"name": "usage", "persistentVolumeClaim": {"claimName": "usage-shop-0"}}],
            "containers": [{"name": "shop", "volumeMounts": [{"name": "usage", "mountPath": "/x"}]}],
        },
        "container `shop` mounts the volume `usage`, which is the sidecar's",
    ),
    "the node's network": ({"hostNetwork": True}, "the pod uses its node's network"),
    "Windows": ({"os": {"name": "windows"}}, "the sidecar runs on Linux only"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_a_pod_with_something_in_the_way_is_refused(name: str) -> None:
    """What stands there is named, and how to get around it."""
    spec, expected = OBSTACLES[name]
    assert expected in refusal(asked(**spec))


def test_the_node_s_network_is_used_with_ports_of_ones_own() -> None:
    """Whoever chose both has thought of it."""
    ports = {"port": "18437", "probe-port": "18438"}
    document = asked(annotations=ports, hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet")
    assert inject(document).result == "injected"


@pytest.mark.parametrize("policy", [None, "ClusterFirst"])
def test_the_node_s_network_needs_the_cluster_s_names(policy: str | None) -> None:
    """Or the control plane's name cannot be resolved there; one with a public name can."""
    ports = {"port": "18437", "probe-port": "18438"}
    document = asked(annotations=ports, hostNetwork=True, **({} if policy is None else {"dnsPolicy": policy}))
    given = injection(control_plane="http://cp.plans.svc:8440", settings={"insecure": "true"})
    refused = json.loads(review_pod(msgspec.json.encode(document), given).body)["response"]
    assert "ClusterFirstWithHostNet" in refused["status"]["message"]
    public = injection(control_plane="https://plans.example")
    assert review_pod(msgspec.json.encode(document), public).result == "injected"


def test_a_container_that_is_not_served_may_have_a_mount_there() -> None:
    """Only those that get the socket must have room for it."""
    mounted = {"name": "log", "volumeMounts": [{"name": "x", "mountPath": "/run/tiergate"}]}
    document = asked(annotations={"containers": "shop"}, containers=[{"name": "shop"}, mounted])
    assert inject(document).result == "injected"


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """Of annotations and of the pod."""
    said = refusal(
        asked(
            annotations={"image": "mine", "log-levl": "debug", "containers": "shp"},
            volumes=[{"name": "tiergate-data", "emptyDir": {}}],
        )
    )
    assert said.startswith("tiergate cannot be injected: ")
    for expected in (
        "annotation `tiergate.dev/image` does not exist",
        "did you mean `tiergate.dev/log-level`?",
        "annotation `tiergate.dev/containers` names `shp`, and the pod has no such container",
        "a volume is named `tiergate-data` already",
    ):
        assert expected in said


@pytest.mark.parametrize("name", ["usage", "tiergate-data"])
def test_the_data_is_kept_in_a_claim_of_the_pod(name: str) -> None:
    """Of a StatefulSet, whose pods have it before they are reviewed; no other volume is made for it."""
    claim = {"name": name, "persistentVolumeClaim": {"claimName": "usage-shop-0"}}
    document = asked(annotations={"data-volume": name}, volumes=[claim])
    result = inject(document)
    spec = patched(document, result)["spec"]
    (sidecar,) = spec["initContainers"]
    assert {"name": name, "mountPath": "/var/lib/tiergate"} in sidecar["volumeMounts"]
    assert "TIERGATE_DATA_LIMIT" not in {it["name"] for it in sidecar["env"]}
    assert [it["name"] for it in spec["volumes"]] == [name, "tiergate-socket", "tiergate-token"]
    assert "fsGroup" in answer(result)["warnings"][0]


def test_a_volume_that_may_not_be_writable_is_warned_of() -> None:
    """A claim is owned by root unless the pod has an `fsGroup`."""
    data = {"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}
    given = injection(data=data)
    (warning,) = answer(inject(asked(), given))["warnings"]
    assert "securityContext.fsGroup" in warning
    assert "warnings" not in answer(inject(asked(securityContext={"fsGroup": 2000}), given))


def test_settings_that_do_not_fit_together_are_refused() -> None:
    """Each is good by itself, but a sidecar would not start with both."""
    document = asked(annotations={"startup-allow": "movies"})
    given = injection(allowed=("startup-allow",), startup_deadline=None)
    message = answer(inject(document, given))["status"]["message"]
    assert "the sidecar's setting `startup-allow`" in message


def malformed() -> dict[str, bytes]:
    """Bodies that are no review of a pod."""
    document = read_review("least")
    kinds = {
        "of another kind": {"kind": "ConversionReview"},
        "of another version": {"apiVersion": "admission.k8s.io/v1beta1"},
    }
    found = {name: json.dumps(document | change).encode() for name, change in kinds.items()}
    other = copy.deepcopy(document)
    other["request"]["kind"] = {"group": "apps", "version": "v1", "kind": "Deployment"}
    found["about a Deployment"] = json.dumps(other).encode()
    for name, value in (("without a pod", None), ("with a text for a pod", "x"), ("with a strange pod", {"spec": 3})):
        other = copy.deepcopy(document)
        other["request"]["object"] = value
        found[name] = json.dumps(other).encode()
    del other["request"]["uid"]
    return found | {
        "without a uid": json.dumps(other).encode(),
        "nothing": b"",
        "no JSON": b"{",
        "not UTF-8": b'{"apiVersion": "\xff"}',
        "a list": b"[]",
    }


@pytest.mark.parametrize("name", malformed())
def test_what_is_no_review_of_a_pod_gets_no_answer(name: str) -> None:
    """An error, which is for the API server to judge by its failure policy."""
    with pytest.raises(ReviewError):
        review_pod(malformed()[name], injection())
