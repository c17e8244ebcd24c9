"""The parts of a pod with a sidecar: its container and volumes, the variables and mounts of other containers. Pure.

INVARIANT (one fragment): the named templates of the chart render the same parts from the same values; a test compares.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTAINER: Final = "tiergate"
"""The name of the sidecar's container."""

DATA_VOLUME: Final = "tiergate-data"
OBJECT_STORE_VOLUME: Final = "tiergate-object-store"
SOCKET_VOLUME: Final = "tiergate-socket"
TOKEN_VOLUME: Final = "tiergate-token"  # noqa: S105 - where it is, not what it is

URL_VARIABLE: Final = "TIERGATE_SIDECAR_URL"
"""The variable with the sidecar's URL, in other containers of the pod."""
SOCKET_VARIABLE: Final = "TIERGATE_SIDECAR_SOCKET"
"""The variable with the path of the sidecar's Unix socket, in other containers of the pod."""

_DATA_FOLDER: Final = "/var/lib/tiergate"
_OBJECT_STORE_FOLDER: Final = "/var/cache/tiergate"
# The API server mounts its own token here into every container without a mount here: so the sidecar has only this one.
_TOKEN_FOLDER: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - where it is, not what it is
_TOKEN_FILE: Final = "token"  # noqa: S105 - where it is, not what it is
_USER: Final = 65532
_PYTHON: Final = "/opt/tiergate/bin/python"

# Only containers that mount the socket reach it; their users are unknown.
_SOCKET_MODE: Final = "666"

_STARTUP_MARGIN: Final = 60
"""Seconds that the startup probe waits beyond the startup deadline."""
_WITHOUT_DEADLINE: Final = 600
_MAX_DEADLINE: Final = 86_400

_OWN: Final = frozenset(
    {
        "control-plane",
        "control-plane-ca-pem",
        "data",
        "key-file",
        "port",
        "probe-port",
        "public-key",
        "public-key-pem",
        "startup-deadline",
        "store-id",
        "uds",
        "uds-mode",
    }
)
"""Settings that other fields of `Sidecar` or the pod itself determine."""

_MAX_BYTES: Final = 256 * 1024


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Kubernetes quantities by resource."""

    requests: dict[str, str] = msgspec.field(
        default_factory=lambda: {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"}
    )
    limits: dict[str, str] = msgspec.field(default_factory=lambda: {"cpu": "1", "memory": "512Mi"})


def _security_context() -> dict[str, object]:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsGroup": _USER,
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


class Sidecar(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The operator's configuration of every sidecar; keys are written as in Kubernetes, such as `storeId`.

    `settings`: further settings of the sidecar, by name, as in a variable. `data`: the source of the volume with its
    data, or `data_volume`: the name of a volume that the pod has itself, which is used instead.
    `object_store_volume`: the source of a volume with the folder of an object store, from which a sidecar without data
    starts. `startup_deadline`, `token_seconds` in seconds; `public_keys`, `control_plane_ca` in PEM.

    `security_context`: the whole of the container's. `probes`: whether the kubelet calls over HTTP or runs a command in
    the container; with `auto`, a command in a pod with the proxy of a mesh. `extra_…`: as in a pod.
    `image_pull_secrets`: names of Secrets.
    """

    image: str
    image_pull_policy: str = "IfNotPresent"
    control_plane: str
    control_plane_ca: str | None = None
    store_id: str | None = None
    public_keys: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    startup_deadline: float | None = 30.0
    port: int = 8437
    probe_port: int = 8438
    socket_path: str = "/run/tiergate/sidecar.sock"
    token_audience: str = "tiergate"  # noqa: S105 - the recipient of the token
    token_seconds: int = 3600
    resources: Resources = msgspec.field(default_factory=Resources)
    data: dict[str, object] = msgspec.field(default_factory=lambda: {"emptyDir": {"sizeLimit": "2Gi"}})
    data_volume: str | None = None
    object_store_volume: dict[str, object] | None = None
    security_context: dict[str, object] = msgspec.field(default_factory=_security_context)
    probes: Literal["auto", "http", "exec"] = "auto"
    extra_env: tuple[dict[str, object], ...] = ()
    extra_env_from: tuple[dict[str, object], ...] = ()
    extra_volumes: tuple[dict[str, object], ...] = ()
    extra_volume_mounts: tuple[dict[str, object], ...] = ()
    image_pull_secrets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Validate the fields.

        Raises:
            ValueError: one is invalid.
        """
        if not self.image or not self.control_plane:
            raise ValueError("`image` and `controlPlane` must not be empty")
        for name, port in (("port", self.port), ("probePort", self.probe_port)):
            if not 1024 <= port <= 65535:
                raise ValueError(f"`{name}` must be from 1024 to 65535")
        if self.startup_deadline is not None and not 0 < self.startup_deadline <= _MAX_DEADLINE:
            raise ValueError(f"`startupDeadline` must be more than 0 and at most {_MAX_DEADLINE} seconds, or null")
        if self.port == self.probe_port:
            raise ValueError("`port` and `probePort` must differ")
        path = PurePosixPath(self.socket_path)
        if not path.is_absolute() or ".." in path.parts or len(path.parts) < 3:
            raise ValueError("`socketPath` must be absolute, and in a folder of its own")
        if len(self.socket_path) > 100:
            raise ValueError("`socketPath` must have at most 100 characters")
        reserved = sorted(_OWN & self.settings.keys())
        if reserved:
            raise ValueError(f"`settings` must not have `{reserved[0]}`, which is set elsewhere")
        named = next(
            (name for it in self.extra_volumes if not (name := str(it.get("name"))).startswith("tiergate-")), None
        )
        if named is not None:
            raise ValueError(f"`extraVolumes` must have names that begin with `tiergate-`, not `{named}`")
        if self.object_store_volume and "object-store" in self.settings:
            raise ValueError("`settings` must not have `object-store` beside `objectStoreVolume`")


def read_sidecar(content: bytes) -> Sidecar:
    """Read the operator's configuration of sidecars, JSON or YAML.

    Raises:
        SettingsError: it is invalid.
    """
    import yaml  # noqa: PLC0415 - the parts of a pod can be made without it

    if len(content) > _MAX_BYTES:
        raise SettingsError("sidecar-file", f"has more than {_MAX_BYTES} bytes")
    try:
        return msgspec.convert(yaml.safe_load(content), Sidecar)
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise SettingsError("sidecar-file", f"is not a valid sidecar configuration: {error}") from None


def sidecar_container(sidecar: Sidecar) -> dict[str, object]:
    """Return the sidecar's container: an init container that is restarted, as Kubernetes defines sidecars."""
    env = [{"name": name, "value": value} for name, value in sidecar_variables(sidecar).items()]
    return {
        "name": CONTAINER,
        "image": sidecar.image,
        "imagePullPolicy": sidecar.image_pull_policy,
        "restartPolicy": "Always",
        "args": ["sidecar"],
        "env": [*env, *sidecar.extra_env],
        **({"envFrom": list(sidecar.extra_env_from)} if sidecar.extra_env_from else {}),
        "ports": [{"name": "tiergate-probes", "containerPort": sidecar.probe_port, "protocol": "TCP"}],
        "resources": msgspec.to_builtins(sidecar.resources),
        "startupProbe": {
            **_probe(sidecar, "startupz", "--startup"),
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": startup_seconds(sidecar),
        },
        "readinessProbe": {
            **_probe(sidecar, "readyz"),
            "periodSeconds": 5,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
        "livenessProbe": {
            **_probe(sidecar, "livez", "--live"),
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
        "securityContext": sidecar.security_context,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": sidecar.data_volume or DATA_VOLUME, "mountPath": _DATA_FOLDER},
            {"name": SOCKET_VOLUME, "mountPath": _socket_folder(sidecar)},
            {"name": TOKEN_VOLUME, "mountPath": _TOKEN_FOLDER, "readOnly": True},
            *_object_store_mounts(sidecar),
            *sidecar.extra_volume_mounts,
        ],
    }


def sidecar_volumes(sidecar: Sidecar) -> list[dict[str, object]]:
    """Return the pod's volumes: data, the folder of the socket, the token, an object store's folder, the operator's."""
    token = {
        "audience": sidecar.token_audience,
        "expirationSeconds": sidecar.token_seconds,
        "path": _TOKEN_FILE,
    }
    found: list[dict[str, object]] = [
        *([] if sidecar.data_volume else [{"name": DATA_VOLUME, **sidecar.data}]),
        {"name": SOCKET_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}},
    ]
    if sidecar.object_store_volume:
        found.append({"name": OBJECT_STORE_VOLUME, **sidecar.object_store_volume})
    return [*found, *sidecar.extra_volumes]


def app_env(sidecar: Sidecar) -> list[dict[str, object]]:
    """Return the variables by which other containers of the pod find the sidecar."""
    return [
        {"name": URL_VARIABLE, "value": f"http://127.0.0.1:{sidecar.port}"},
        {"name": SOCKET_VARIABLE, "value": sidecar.socket_path},
    ]


def app_mounts(sidecar: Sidecar) -> list[dict[str, object]]:
    """Return the mounts of other containers for the Unix socket; read-only, which still allows to connect."""
    return [{"name": SOCKET_VOLUME, "mountPath": _socket_folder(sidecar), "readOnly": True}]


def startup_seconds(sidecar: Sidecar) -> int:
    """Return how many seconds the startup probe waits: longer than the startup deadline, if there is one."""
    deadline = sidecar.startup_deadline
    return _WITHOUT_DEADLINE if deadline is None else math.ceil(deadline) + _STARTUP_MARGIN


def sidecar_variables(sidecar: Sidecar) -> Mapping[str, str]:
    """Return the sidecar's settings as variables: fixed ones first, then the operator's by name."""
    store = {"object-store": f"file://{_OBJECT_STORE_FOLDER}"} if sidecar.object_store_volume else {}
    settings = sidecar.settings | store
    said = {
        "control-plane": sidecar.control_plane,
        "control-plane-ca-pem": sidecar.control_plane_ca,
        "key-file": f"{_TOKEN_FOLDER}/{_TOKEN_FILE}",
        "public-key-pem": ",".join(sidecar.public_keys),
        "store-id": sidecar.store_id,
        "data": _DATA_FOLDER,
        "data-limit": None if sidecar.data_volume else _data_size(sidecar.data),
        "port": str(sidecar.port),
        "probe-port": str(sidecar.probe_port),
        "uds": sidecar.socket_path,
        "uds-mode": _SOCKET_MODE,
        "startup-deadline": None if sidecar.startup_deadline is None else f"{sidecar.startup_deadline:g}",
        **dict(sorted(settings.items())),
    }
    return {variable_name(name): value for name, value in said.items() if value}


def _data_size(source: Mapping[str, object]) -> str | None:
    """Return the size of the volume for data, if its source has one."""
    found: object = source
    names: tuple[str, ...] = ("emptyDir", "sizeLimit")
    if "ephemeral" in source:
        names = ("ephemeral", "volumeClaimTemplate", "spec", "resources", "requests", "storage")
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return None if found is None else str(found)


def variable_name(setting: str) -> str:
    """Return the variable of a setting of the sidecar."""
    return "TIERGATE_" + setting.replace("-", "_").upper()


def _probe(sidecar: Sidecar, path: str, *options: str) -> dict[str, object]:
    """Return how the kubelet calls a probe: over HTTP, or by a command in the container."""
    if sidecar.probes == "exec":
        return {"exec": {"command": [_PYTHON, "-m", "tiergate.cli.health", *options]}}
    return {"httpGet": {"path": f"/{path}", "port": sidecar.probe_port, "scheme": "HTTP"}}


def _object_store_mounts(sidecar: Sidecar) -> list[dict[str, object]]:
    if not sidecar.object_store_volume:
        return []
    return [{"name": OBJECT_STORE_VOLUME, "mountPath": _OBJECT_STORE_FOLDER, "readOnly": True}]


def _socket_folder(sidecar: Sidecar) -> str:
    return str(PurePosixPath(sidecar.socket_path).parent)
