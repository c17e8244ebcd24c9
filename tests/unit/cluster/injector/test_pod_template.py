from __future__ import annotations

from typing import Any

import pytest

from tests.admissions import PUBLIC_KEY, injection
from tiergate.bundle import SigningKey
from tiergate.cluster.injector.pod_template import (
    app_env,
    app_mounts,
    read_sidecar,
    sidecar_container,
    sidecar_volumes,
    variable_name,
)
from tiergate.errors import SettingsError
from tiergate.sidecar.setting_sources import resolve
from tiergate.sidecar.settings import SETTINGS

SIDECAR = injection().sidecar


def env(**said: Any) -> dict[str, str]:  # noqa: ANN401 - fields of `Sidecar`
    """The variables of the sidecar's container."""
    found = sidecar_container(injection(**said).sidecar)["env"]
    assert isinstance(found, list)
    return {one["name"]: one["value"] for one in found}


def test_a_sidecar_can_start_with_its_variables() -> None:
    """They are settings that fit together, with everything that an operator can say."""
    other = SigningKey.generate().verify_key.to_pem()
    said = env(
        store_id="st_1",
        public_keys=(PUBLIC_KEY, other),
        settings={"max-staleness": "600", "stale-deny": "seats,tag:paid", "object-store": "s3://plans/x"},
    )
    settings = resolve({}, said)
    assert settings.control_plane == "https://tiergate.tiergate.svc:8440"
    assert settings.public_key_pem == (PUBLIC_KEY, other)
    assert settings.store_id == "st_1"
    assert settings.max_staleness == 600
    assert settings.stale_deny == ("seats", "tag:paid")
    assert settings.startup_deadline == 30
    assert settings.uds_mode == 0o666


def test_every_variable_is_a_setting() -> None:
    """None is a word of the template's own."""
    known = {one.variable for one in SETTINGS}
    assert env(store_id="st_1", control_plane_ca="-").keys() <= known
    assert all(variable_name(one.name) == one.variable for one in SETTINGS)


def test_everything_that_is_written_is_mounted() -> None:
    """The root of its file system is read-only."""
    mounted = {one["mountPath"] for one in list_of(sidecar_container(SIDECAR)["volumeMounts"])}
    said = env()
    assert said["TIERGATE_DATA"] in mounted
    assert said["TIERGATE_UDS"].rpartition("/")[0] in mounted
    assert said["TIERGATE_KEY_FILE"].rpartition("/")[0] in mounted
    names = {one["name"] for one in sidecar_volumes(SIDECAR)}
    assert {one["name"] for one in list_of(sidecar_container(SIDECAR)["volumeMounts"])} == names


def test_a_folder_of_an_object_store_is_mounted_and_begun_with() -> None:
    """Read-only, and in place of an address of one."""
    source = {"nfs": {"server": "files.example", "path": "/plans"}}
    sidecar = injection(object_store_volume=source).sidecar
    assert {"name": "tiergate-object-store", **source} in sidecar_volumes(sidecar)
    (mount,) = (
        it for it in list_of(sidecar_container(sidecar)["volumeMounts"]) if it["name"] == "tiergate-object-store"
    )
    assert mount["readOnly"] is True
    said = env(object_store_volume=source)
    assert said["TIERGATE_OBJECT_STORE"] == f"file://{mount['mountPath']}"
    assert resolve({}, said).object_store == said["TIERGATE_OBJECT_STORE"]
    with pytest.raises(ValueError, match="object-store"):
        injection(object_store_volume=source, settings={"object-store": "s3://plans/x"})


def list_of(value: object) -> list[dict[str, Any]]:
    """A list in a part of a pod."""
    assert isinstance(value, list)
    return value


def test_a_container_is_restricted_as_pod_security_wants_it() -> None:
    """The level `restricted`; and it has limits and all three probes."""
    made = sidecar_container(SIDECAR)
    security = made["securityContext"]
    assert isinstance(security, dict)
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {"startupProbe", "readinessProbe", "livenessProbe", "resources"} <= made.keys()
    assert "lifecycle" not in made


def test_the_token_is_for_the_control_plane_alone() -> None:
    """Its audience is no API server's, and no other container mounts it."""
    (token,) = (one for one in sidecar_volumes(SIDECAR) if one["name"] == "tiergate-token")
    assert token["projected"] == {
        "sources": [{"serviceAccountToken": {"audience": "tiergate", "expirationSeconds": 3600, "path": "token"}}]
    }
    assert [one["name"] for one in app_mounts(SIDECAR)] == ["tiergate-socket"]


def test_other_containers_learn_where_the_sidecar_is() -> None:
    """As adjusted."""
    sidecar = injection(port=9000, probe_port=9001, socket_path="/run/plans/s.sock").sidecar
    assert app_env(sidecar) == [
        {"name": "TIERGATE_SIDECAR_URL", "value": "http://127.0.0.1:9000"},
        {"name": "TIERGATE_SIDECAR_SOCKET", "value": "/run/plans/s.sock"},
    ]
    assert app_mounts(sidecar) == [{"name": "tiergate-socket", "mountPath": "/run/plans", "readOnly": True}]


def test_without_a_deadline_the_startup_probe_waits_long() -> None:
    """Ten minutes, for a first start with millions of subjects."""
    probe = sidecar_container(injection(startup_deadline=None).sidecar)["startupProbe"]
    assert isinstance(probe, dict)
    assert probe["failureThreshold"] == 600
    assert "TIERGATE_STARTUP_DEADLINE" not in env(startup_deadline=None)


def test_a_sidecar_is_read_from_yaml() -> None:
    """In Kubernetes' spelling."""
    text = b"""
image: tiergate-sidecar@sha256:0123
controlPlane: http://tiergate:8440
storeId: st_1
startupDeadline: null
settings: {insecure: "true"}
resources: {requests: {cpu: 10m}, limits: {memory: 1Gi}}
data: {emptyDir: {}}
"""
    found = read_sidecar(text)
    assert (found.image, found.store_id, found.startup_deadline) == ("tiergate-sidecar@sha256:0123", "st_1", None)
    assert found.resources.requests == {"cpu": "10m"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image: x", "controlPlane"),
        ("{image: '', controlPlane: y}", "must not be empty"),
        ("{image: x, controlPlane: y, imge: z}", "imge"),
        ("{image: x, controlPlane: y, port: 80}", "from 1024 to 65535"),
        ("{image: x, controlPlane: y, port: 8438}", "must differ"),
        ("{image: x, controlPlane: y, socketPath: s.sock}", "must be absolute"),
        ("{image: x, controlPlane: y, socketPath: /s.sock}", "in a folder of its own"),
        ("{image: x, controlPlane: y, settings: {uds: /x}}", "must not have `uds`, which is set elsewhere"),
        ("{image: x, controlPlane: y, settings: {insecure: true}}", "Expected `str`"),
        ("[", "is not a valid sidecar"),
        ("", "is not a valid sidecar"),
        ("x" * 300_000, "more than"),
    ],
)
def test_what_says_no_sidecar_is_refused(text: str, expected: str) -> None:
    """With what is wrong."""
    with pytest.raises(SettingsError, match=expected) as refused:
        read_sidecar(text.encode())
    assert refused.value.setting == "sidecar-file"
