"""One sidecar per node: the fragment of a pod, in folders of the node."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.helm.charts import CHART, find, needs_helm, objects, refusal
from tiergate.cluster.injector.pod_template import read_sidecar, sidecar_container
from tiergate.sidecar.setting_sources import resolve
from tiergate.sidecar.settings import TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helm.charts import Object
    from tiergate.sidecar.settings import Settings

pytestmark = needs_helm

OWN: Final = CHART / "ci" / "daemonset-values.yaml"
ELSEWHERE: Final = CHART / "ci" / "daemonset-without-control-plane-values.yaml"
each_scenario = pytest.mark.parametrize("scenario", [OWN, ELSEWHERE], ids=lambda it: it.stem.removesuffix("-values"))

NAME: Final = "shop-tiergate-daemonset"
USER: Final = 65532


def pod(found: tuple[Object, ...]) -> Object:
    """The specification of its pods."""
    return dict(find(found, "DaemonSet", NAME)["spec"]["template"]["spec"])


def settings_of(spec: Object) -> Settings:
    """What its sidecar makes of its variables."""
    (one,) = spec["containers"]
    environ = {it["name"]: it["value"] for it in one["env"] if "value" in it}
    assert TABLE.unknown_variables({it["name"]: "" for it in one["env"]}) == ()
    return resolve({}, environ | {"TIERGATE_CONTROL_PLANE_CA_PEM": ""})


@each_scenario
def test_its_sidecar_starts_with_what_it_is_given(scenario: Path) -> None:
    """Every variable is a setting, and all of them fit together."""
    found = settings_of(pod(objects(scenario)))
    assert str(found.uds) == "/run/tiergate/sidecar.sock"
    assert str(found.data) == "/var/lib/tiergate"
    assert found.startup_deadline == (30 if scenario == OWN else None)
    assert found.log_level == ("debug" if scenario == OWN else "info")
    assert found.max_connections == (20000 if scenario == OWN else 4096)


def test_it_believes_the_public_keys_of_the_releases_own_store() -> None:
    """All of them, from files; the private ones are in the same Secret, and not mounted."""
    spec = pod(objects(OWN))
    names = ["public-key-2027.pem", "public-key.pem"]
    found = settings_of(spec)
    assert [str(it) for it in found.public_key] == [f"/etc/tiergate/public-keys/{name}" for name in names]
    (volume,) = (it["secret"] for it in spec["volumes"] if "secret" in it)
    assert [it["path"] for it in volume["items"]] == names
    assert volume["secretName"] == "entitlements-signing"


def test_it_believes_the_control_plane_by_the_authority_of_its_own_secret() -> None:
    """Of which it is given that one value."""
    (one,) = pod(objects(OWN))["containers"]
    (variable,) = (it for it in one["env"] if it["name"] == "TIERGATE_CONTROL_PLANE_CA_PEM")
    reference = {"name": "shop-tiergate-control-plane-tls", "key": "ca.crt"}
    assert variable["valueFrom"] == {"secretKeyRef": reference}


@each_scenario
def test_its_container_is_that_of_a_pod(scenario: Path) -> None:
    """But for what it is given of its node, and for not being an init container."""
    found = objects(scenario, values={"injector": {"enabled": True}})
    said = read_sidecar(find(found, "ConfigMap", "shop-tiergate-injector")["data"]["sidecar.yaml"].encode())
    expected = sidecar_container(said)
    (one,) = pod(found)["containers"]
    for part in expected.keys() - {"restartPolicy", "env", "resources", "volumeMounts"}:
        assert one[part] == expected[part], part
    assert "restartPolicy" not in one
    assert one["resources"]["limits"]


@each_scenario
def test_its_token_is_one_that_the_control_plane_takes(scenario: Path) -> None:
    """Of a service account that the issuers file names, for the audience that it asks for."""
    found = objects(scenario)
    spec = pod(found)
    (token,) = (it["projected"]["sources"][0]["serviceAccountToken"] for it in spec["volumes"] if "projected" in it)
    assert token["audience"] == "tiergate"
    assert spec["serviceAccountName"] == NAME
    if scenario == OWN:
        issuers = find(found, "ConfigMap", "shop-tiergate-control-plane")["data"]["issuers.yaml"]
        assert f"system:serviceaccount:plans:{NAME}" in issuers
    assert spec["automountServiceAccountToken"] is False


def test_one_sidecar_has_a_nodes_folders_at_a_time() -> None:
    """A new one starts when the old one has ended."""
    strategy = find(objects(OWN), "DaemonSet", NAME)["spec"]["updateStrategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "10%"}}


def test_nothing_but_the_folders_is_the_nodes() -> None:
    """Neither its network nor its processes, and of its files two folders."""
    spec = pod(objects(OWN))
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert [it["hostPath"]["path"] for it in spec["volumes"] if "hostPath" in it] == [
        "/var/lib/tiergate",
        "/run/tiergate",
    ]
    assert [it["hostPath"]["path"] for it in pod(objects(ELSEWHERE))["volumes"] if "hostPath" in it] == [
        "/run/entitlements"
    ]


def test_it_begins_with_a_folder_of_an_object_store_where_there_is_one() -> None:
    """As the sidecar of a pod."""
    source = {"hostPath": {"path": "/var/cache/plans", "type": "Directory"}}
    spec = pod(objects(OWN, values={"sidecar": {"objectStoreVolume": source}}))
    assert {"name": "tiergate-object-store", **source} in spec["volumes"]
    mount = {"name": "tiergate-object-store", "mountPath": "/var/cache/tiergate", "readOnly": True}
    assert mount in spec["containers"][0]["volumeMounts"]
    assert settings_of(spec).object_store == "file:///var/cache/tiergate"


def test_root_gives_folders_away_and_may_do_nothing_else() -> None:
    """In a first container that can be left out; the sidecar itself is never root."""
    (first,) = pod(objects(OWN))["initContainers"]
    security = first["securityContext"]
    assert security["runAsUser"] == 0
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert "initContainers" not in pod(objects(ELSEWHERE))
    for scenario in (OWN, ELSEWHERE):
        (one,) = pod(objects(scenario))["containers"]
        assert one["securityContext"]["runAsUser"] == USER


def test_the_first_container_gives_away_just_the_folders_that_are_mounted(tmp_path: Path) -> None:
    """The program in the manifest, run: who is owner already is left alone, so it can run at every start."""
    (first,) = pod(objects(OWN))["initContainers"]
    program, user, *folders = first["args"][1:]
    assert [it["mountPath"] for it in first["volumeMounts"]] == folders
    assert user == str(USER)

    is_root = os.geteuid() == 0
    owner = USER if is_root else os.geteuid()
    made, kept = tmp_path / "made", tmp_path / "kept"
    for folder in (made, kept):
        folder.mkdir(mode=0o700)
    if is_root:
        os.chown(kept, owner, owner)
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, str(owner), made, kept], check=True, timeout=60)
    assert made.stat().st_uid == owner
    assert made.stat().st_mode & 0o777 == (0o755 if is_root else 0o700)
    assert kept.stat().st_mode & 0o777 == 0o700


def test_without_a_control_plane_it_must_be_said_what_is_believed() -> None:
    """A sidecar that believes nobody would never be ready."""
    values = {"controlPlane": {"enabled": False}, "daemonset": {"enabled": True}}
    assert "`sidecar.publicKeys` is needed" in refusal(values)
