"""Answer admission reviews: which pods get a sidecar, and the JSON Patch that adds it. Pure.

A pod gets a sidecar if it is created with the label and has no sidecar yet. A pod with invalid annotations, or with
parts that conflict with the sidecar's, is rejected with all reasons; nothing in a pod is overwritten.

Injected pods are not changed again, however often they are reviewed. Injection is a service and no security boundary:
who may create pods may create one without a sidecar.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.cluster.injector.annotation_parser import parse_annotations
from tiergate.cluster.injector.annotations import DOMAIN, LABEL, STATUS
from tiergate.cluster.injector.pod_template import (
    CONTAINER,
    app_env,
    app_mounts,
    sidecar_container,
    sidecar_variables,
    sidecar_volumes,
)
from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from tiergate.cluster.injector.annotation_parser import ParsedAnnotations
    from tiergate.cluster.injector.pod_template import Sidecar
    from tiergate.process.settings import Setting

_API: Final = "admission.k8s.io/v1"
_REFUSED: Final = 400
_WINDOWS: Final = "windows"


class ReviewError(ValueError):
    """The request is not an admission review of a pod; the message has the reason."""


@dataclass(frozen=True, slots=True)
class InjectionConfig:
    """How pods are changed: the operator's sidecar, the allowed annotations, the sidecar's settings by name.

    `check` raises `SettingsError` if a sidecar would not start with these variables.
    """

    sidecar: Sidecar
    allowed: Collection[str]
    settings: Mapping[str, Setting]
    check: Callable[[Mapping[str, str]], object]
    version: str


@dataclass(frozen=True, slots=True)
class ReviewResult:
    """The response for the API server.

    `result`: `injected`, `unchanged` or `refused`; `pod`: the name for the log; `detail`: why the pod was rejected.
    """

    body: bytes
    result: str
    namespace: str
    pod: str
    detail: str = ""


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


class _Mount(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    mount_path: str = ""


class _Port(msgspec.Struct, frozen=True, rename="camel"):
    container_port: int = 0


class _Container(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    env: tuple[_Named, ...] | None = None
    volume_mounts: tuple[_Mount, ...] | None = None
    ports: tuple[_Port, ...] | None = None


class _Security(msgspec.Struct, frozen=True, rename="camel"):
    fs_group: int | None = None


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    containers: tuple[_Container, ...] | None = None
    init_containers: tuple[_Container, ...] | None = None
    volumes: tuple[_Named, ...] | None = None
    host_network: bool | None = None
    os: _Named | None = None
    security_context: _Security | None = None


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    generate_name: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Pod(msgspec.Struct, frozen=True, rename="camel"):
    metadata: _Metadata
    spec: _Spec


class _Kind(msgspec.Struct, frozen=True):
    group: str = ""
    version: str = ""
    kind: str = ""


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    kind: _Kind
    operation: str
    namespace: str = ""
    sub_resource: str = ""
    object: msgspec.Raw = msgspec.Raw(b"null")


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    request: _Request


_reviews: Final = msgspec.json.Decoder(_Review)
_pods: Final = msgspec.json.Decoder(_Pod)

_Operation = dict[str, object]


def review_pod(body: bytes, injection: InjectionConfig) -> ReviewResult:
    """Answer one admission review.

    Raises:
        ReviewError: it is not a review of a pod; the API server then applies the `failurePolicy` of the webhook.
    """
    request = _read(body)
    if request.operation != "CREATE" or request.sub_resource:
        return _leave(request, "")
    try:
        pod = _pods.decode(request.object)
    except msgspec.DecodeError as error:
        raise ReviewError(f"its object is not a pod: {error}") from None
    name = pod.metadata.name or f"{pod.metadata.generate_name}…"
    annotations = pod.metadata.annotations or {}
    if (pod.metadata.labels or {}).get(LABEL) != "true" or _was_injected(pod):
        return _leave(request, name)
    parsed = parse_annotations(annotations, injection.sidecar, injection.allowed, injection.settings)
    problems = (*parsed.problems, *_obstacles(pod, parsed)) or _unfit(parsed.sidecar, injection)
    if problems:
        return _reject(request, name, problems)
    patch = [*_operations(pod, parsed, injection.version)]
    answer = {
        "uid": request.uid,
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(msgspec.json.encode(patch)).decode(),
    }
    warnings = list(_warnings(pod, parsed.sidecar))
    return _outcome(request, name, answer | ({"warnings": warnings} if warnings else {}), "injected")


def _read(body: bytes) -> _Request:
    try:
        found = _reviews.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReviewError(f"is not an admission review: {error}") from None
    if (found.api_version, found.kind) != (_API, "AdmissionReview"):
        raise ReviewError(f"must be an AdmissionReview of `{_API}`, not `{found.kind}` of `{found.api_version}`")
    asked = found.request.kind
    if (asked.group, asked.version, asked.kind) != ("", "v1", "Pod"):
        raise ReviewError(
            f"is about `{asked.group}/{asked.version}` `{asked.kind}`, but this webhook supports only pods"
        )
    return found.request


def _unfit(sidecar: Sidecar, injection: InjectionConfig) -> tuple[str, ...]:
    """Why a sidecar would not start with its settings, each of which is good by itself."""
    try:
        injection.check(sidecar_variables(sidecar))
    except SettingsError as error:
        return (f"the sidecar's {error}",)
    return ()


def _was_injected(pod: _Pod) -> bool:
    return STATUS in (pod.metadata.annotations or {}) and CONTAINER in _names(pod.spec.init_containers)


def _obstacles(pod: _Pod, parsed: ParsedAnnotations) -> Iterator[str]:
    """What in the pod stands where the sidecar would, or makes it impossible."""
    spec, sidecar = pod.spec, parsed.sidecar
    everything = (*(spec.init_containers or ()), *(spec.containers or ()))
    names = _names(everything)
    if spec.os is not None and spec.os.name == _WINDOWS:
        yield "the sidecar runs on Linux only, and the pod is for Windows"
    if CONTAINER in names:
        yield (
            f"a container is named `{CONTAINER}` already, and was not injected: rename it, or take the label "
            f"`{LABEL}` away"
        )
    for missing in sorted(set(parsed.containers or ()) - set(names)):
        yield f"annotation `{DOMAIN}containers` names `{missing}`, and the pod has no such container"
    taken = {str(one["name"]) for one in sidecar_volumes(sidecar)}
    for volume in spec.volumes or ():
        if volume.name in taken:
            yield f"a volume is named `{volume.name}` already: rename it"
    if spec.host_network and not {"port", "probe-port"} <= set(parsed.names):
        yield (
            f"the pod uses its node's network: choose ports that are free there by `{DOMAIN}port` and "
            f"`{DOMAIN}probe-port`"
        )
    for one in everything:
        yield from _ports_taken(one, sidecar)
        for own in sorted({mount.name for mount in one.volume_mounts or ()} & taken):
            yield f"container `{one.name}` mounts the volume `{own}`, which is the sidecar's: take that mount away"
    yield from _mounts_taken(pod, parsed)


def _ports_taken(one: _Container, sidecar: Sidecar) -> Iterator[str]:
    for name, number in (("port", sidecar.port), ("probe-port", sidecar.probe_port)):
        if any(port.container_port == number for port in one.ports or ()):
            yield f"container `{one.name}` uses port {number}: choose another one for the sidecar by `{DOMAIN}{name}`"


def _mounts_taken(pod: _Pod, parsed: ParsedAnnotations) -> Iterator[str]:
    (mount,) = app_mounts(parsed.sidecar)
    folder = PurePosixPath(str(mount["mountPath"]))
    for init, several in ((True, pod.spec.init_containers), (False, pod.spec.containers)):
        for one in several or ():
            mounted = [PurePosixPath(other.mount_path) for other in one.volume_mounts or ()]
            if _is_served(one, parsed, init=init) and folder in mounted:
                yield (
                    f"container `{one.name}` mounts something at `{folder}` already: select another folder for the "
                    f"socket by `{DOMAIN}socket-path`"
                )


def _warnings(pod: _Pod, sidecar: Sidecar) -> Iterator[str]:
    security = pod.spec.security_context
    if "emptyDir" not in sidecar.data and (security is None or security.fs_group is None):
        yield (
            "tiergate: the volume for the sidecar's data may not be writable for it: set the pod's "
            "`securityContext.fsGroup`"
        )


def _operations(pod: _Pod, parsed: ParsedAnnotations, version: str) -> Iterator[_Operation]:
    """Return the patch. Operations are applied in order; the init container is added last.

    Variables are added at the beginning, so that the container's own variables can refer to them.
    """
    served: list[str] = []
    spec, sidecar = pod.spec, parsed.sidecar
    for place, several in (("containers", spec.containers), ("initContainers", spec.init_containers)):
        for number, one in enumerate(several or ()):
            if _is_served(one, parsed, init=place == "initContainers"):
                served.append(one.name)
                known = _names(one.env)
                env = [it for it in app_env(sidecar) if it["name"] not in known]
                yield from _put(f"/spec/{place}/{number}/env", env, one.env, first=True)
                yield from _put(f"/spec/{place}/{number}/volumeMounts", app_mounts(sidecar), one.volume_mounts)
    yield from _put("/spec/volumes", sidecar_volumes(sidecar), spec.volumes)
    status = {"version": version, "container": CONTAINER, "containers": served, "adjusted": list(parsed.names)}
    said = msgspec.json.encode(status).decode()
    if pod.metadata.annotations is None:
        yield {"op": "add", "path": "/metadata/annotations", "value": {STATUS: said}}
    else:
        yield {"op": "add", "path": f"/metadata/annotations/{STATUS.replace('/', '~1')}", "value": said}
    yield from _put("/spec/initContainers", [sidecar_container(sidecar)], spec.init_containers, first=not parsed.last)


def _put(
    path: str, values: Sequence[_Operation], present: Sequence[object] | None, *, first: bool = False
) -> Iterator[_Operation]:
    """Add values to a list, which may be missing, at its beginning or end."""
    if not present:
        if values:
            yield {"op": "add", "path": path, "value": list(values)}
        return
    for value in reversed(values) if first else values:
        yield {"op": "add", "path": f"{path}/{0 if first else '-'}", "value": value}


def _is_served(one: _Container, parsed: ParsedAnnotations, *, init: bool) -> bool:
    """Return whether a container gets the socket and the variables."""
    return not init if parsed.containers is None else one.name in parsed.containers


def _names(several: Sequence[_Container | _Named] | None) -> list[str]:
    return [one.name for one in several or ()]


def _leave(request: _Request, pod: str) -> ReviewResult:
    return _outcome(request, pod, {"uid": request.uid, "allowed": True}, "unchanged")


def _reject(request: _Request, pod: str, problems: Sequence[str]) -> ReviewResult:
    detail = "; ".join(problems)
    status = {"code": _REFUSED, "reason": "BadRequest", "message": f"tiergate cannot be injected: {detail}"}
    return _outcome(request, pod, {"uid": request.uid, "allowed": False, "status": status}, "refused", detail)


def _outcome(request: _Request, pod: str, answer: Mapping[str, object], result: str, detail: str = "") -> ReviewResult:
    body = msgspec.json.encode({"apiVersion": _API, "kind": "AdmissionReview", "response": answer})
    return ReviewResult(body, result, request.namespace, pod, detail)
