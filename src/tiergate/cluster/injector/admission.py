"""What the injector reads of an admission review and of the pod in it."""

from __future__ import annotations

import msgspec


class Named(msgspec.Struct, frozen=True):
    """Something with a name, such as a volume or a variable."""

    name: str = ""


class Mount(msgspec.Struct, frozen=True, rename="camel"):
    """A mount of a container."""

    name: str = ""
    mount_path: str = ""


class Port(msgspec.Struct, frozen=True, rename="camel"):
    """A port of a container."""

    container_port: int = 0


class Container(msgspec.Struct, frozen=True, rename="camel"):
    """A container of a pod, init containers included."""

    name: str
    restart_policy: str | None = None
    env: tuple[Named, ...] | None = None
    volume_mounts: tuple[Mount, ...] | None = None
    ports: tuple[Port, ...] | None = None


class PodSecurity(msgspec.Struct, frozen=True, rename="camel"):
    """A pod's security context."""

    fs_group: int | None = None


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """What a pod is made of."""

    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    volumes: tuple[Named, ...] | None = None
    host_network: bool | None = None
    dns_policy: str | None = None
    image_pull_secrets: tuple[Named, ...] | None = None
    os: Named | None = None
    security_context: PodSecurity | None = None


class PodMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """The name, labels and annotations of a pod."""

    name: str = ""
    generate_name: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Pod(msgspec.Struct, frozen=True, rename="camel"):
    """A pod."""

    metadata: PodMetadata
    spec: PodSpec


class Status(msgspec.Struct, frozen=True):
    """The annotation with the injector's result."""

    version: str = ""
    container: str = ""
    containers: tuple[str, ...] = ()
    adjusted: tuple[str, ...] = ()


class Kind(msgspec.Struct, frozen=True):
    """The kind of an object."""

    group: str = ""
    version: str = ""
    kind: str = ""


class AdmissionRequest(msgspec.Struct, frozen=True, rename="camel"):
    """A request to admit an object; `object` is its JSON."""

    uid: str
    kind: Kind
    operation: str
    namespace: str = ""
    sub_resource: str = ""
    object: msgspec.Raw = msgspec.Raw(b"null")


class AdmissionReview(msgspec.Struct, frozen=True, rename="camel"):
    """An admission review."""

    api_version: str
    kind: str
    request: AdmissionRequest
