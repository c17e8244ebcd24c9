"""An admission review in, its answer out: which pod gets a sidecar, and the JSON Patch that puts it there.

Pure. A pod gets a sidecar when it is created, has the label, and has none yet. A pod that says something wrong, or has
something of its own where the sidecar would stand, is refused with all the reasons, and nothing in it is overwritten.

What was injected once is not touched again: the answer to a pod that was is to leave it, however often it is asked.
Injecting is a service to a pod, and no barrier: whoever may make pods may make one without a sidecar.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.cluster.injector.annotation_parser import read_wishes
from tiergate.cluster.injector.annotations import DOMAIN, LABEL, STATUS
from tiergate.cluster.injector.pod_template import (
    CONTAINER,
    app_env,
    app_mounts,
    container,
    variables,
    volumes,
)
from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from tiergate.cluster.injector.annotation_parser import Wishes
    from tiergate.cluster.injector.pod_template import Sidecar
    from tiergate.process.settings import Setting

_API: Final = "admission.k8s.io/v1"
_REFUSED: Final = 400
_WINDOWS: Final = "windows"


class ReviewError(ValueError):
    """What was sent is no admission review of a pod. The message says why."""


@dataclass(frozen=True, slots=True)
class Injection:
    """By what pods are changed: the operator's sidecar, the annotations allowed, the sidecar's settings by name.

    `check` takes the variables of a sidecar and raises `SettingsError` where it would not start with them.
    """

    sidecar: Sidecar
    allowed: Collection[str]
    settings: Mapping[str, Setting]
    check: Callable[[Mapping[str, str]], object]
    version: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer, as bytes for the API server, and what it says in a word.

    `result`: `injected`, `unchanged` or `refused`; `pod`: the pod's name for the log; `detail`: why it was refused.
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


def review(body: bytes, injection: Injection) -> Outcome:
    """Answer one admission review.

    Raises:
        ReviewError: it is none, or not of a pod: the API server then does what the webhook's `failurePolicy` says.
    """
    request = _read(body)
    if request.operation != "CREATE" or request.sub_resource:
        return _leave(request, "")
    try:
        pod = _pods.decode(request.object)
    except msgspec.DecodeError as error:
        raise ReviewError(f"its object is no pod: {error}") from None
    name = pod.metadata.name or f"{pod.metadata.generate_name}…"
    annotations = pod.metadata.annotations or {}
    if (pod.metadata.labels or {}).get(LABEL) != "true" or _was_injected(pod):
        return _leave(request, name)
    wishes = read_wishes(annotations, injection.sidecar, injection.allowed, injection.settings)
    problems = (*wishes.problems, *_obstacles(pod, wishes)) or _unfit(wishes.sidecar, injection)
    if problems:
        return _refuse(request, name, problems)
    patch = [*_operations(pod, wishes, injection.version)]
    answer = {
        "uid": request.uid,
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(msgspec.json.encode(patch)).decode(),
    }
    warnings = list(_warnings(pod, wishes.sidecar))
    return _outcome(request, name, answer | ({"warnings": warnings} if warnings else {}), "injected")


def _read(body: bytes) -> _Request:
    try:
        found = _reviews.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReviewError(f"is no admission review: {error}") from None
    if (found.api_version, found.kind) != (_API, "AdmissionReview"):
        raise ReviewError(f"is no AdmissionReview of `{_API}`, but `{found.kind}` of `{found.api_version}`")
    asked = found.request.kind
    if (asked.group, asked.version, asked.kind) != ("", "v1", "Pod"):
        raise ReviewError(f"is about `{asked.group}/{asked.version}` `{asked.kind}`, and this webhook knows pods only")
    return found.request


def _unfit(sidecar: Sidecar, injection: Injection) -> tuple[str, ...]:
    """Why a sidecar would not start with its settings, each of which is good by itself."""
    try:
        injection.check(variables(sidecar))
    except SettingsError as error:
        return (f"the sidecar's {error}",)
    return ()


def _was_injected(pod: _Pod) -> bool:
    return STATUS in (pod.metadata.annotations or {}) and CONTAINER in _names(pod.spec.init_containers)


def _obstacles(pod: _Pod, wishes: Wishes) -> Iterator[str]:
    """What in the pod stands where the sidecar would, or makes it impossible."""
    spec, sidecar = pod.spec, wishes.sidecar
    everything = (*(spec.init_containers or ()), *(spec.containers or ()))
    names = _names(everything)
    if spec.os is not None and spec.os.name == _WINDOWS:
        yield "the sidecar runs on Linux only, and the pod is for Windows"
    if CONTAINER in names:
        yield (
            f"a container is named `{CONTAINER}` already, and was not injected: rename it, or take the label "
            f"`{LABEL}` away"
        )
    for missing in sorted(set(wishes.containers or ()) - set(names)):
        yield f"annotation `{DOMAIN}containers` names `{missing}`, and the pod has no such container"
    taken = {str(one["name"]) for one in volumes(sidecar)}
    for volume in spec.volumes or ():
        if volume.name in taken:
            yield f"a volume is named `{volume.name}` already: rename it"
    if spec.host_network and not {"port", "probe-port"} <= set(wishes.said):
        yield (
            f"the pod uses its node's network: choose ports that are free there by `{DOMAIN}port` and "
            f"`{DOMAIN}probe-port`"
        )
    for one in everything:
        yield from _ports_taken(one, sidecar)
        for own in sorted({mount.name for mount in one.volume_mounts or ()} & taken):
            yield f"container `{one.name}` mounts the volume `{own}`, which is the sidecar's: take that mount away"
    yield from _mounts_taken(pod, wishes)


def _ports_taken(one: _Container, sidecar: Sidecar) -> Iterator[str]:
    for name, number in (("port", sidecar.port), ("probe-port", sidecar.probe_port)):
        if any(port.container_port == number for port in one.ports or ()):
            yield f"container `{one.name}` uses port {number}: choose another one for the sidecar by `{DOMAIN}{name}`"


def _mounts_taken(pod: _Pod, wishes: Wishes) -> Iterator[str]:
    (mount,) = app_mounts(wishes.sidecar)
    folder = PurePosixPath(str(mount["mountPath"]))
    for init, several in ((True, pod.spec.init_containers), (False, pod.spec.containers)):
        for one in several or ():
            mounted = [PurePosixPath(other.mount_path) for other in one.volume_mounts or ()]
            if _is_served(one, wishes, init=init) and folder in mounted:
                yield (
                    f"container `{one.name}` mounts something at `{folder}` already: choose another folder for the "
                    f"socket by `{DOMAIN}socket-path`"
                )


def _warnings(pod: _Pod, sidecar: Sidecar) -> Iterator[str]:
    security = pod.spec.security_context
    if "emptyDir" not in sidecar.data and (security is None or security.fs_group is None):
        yield (
            "tiergate: the volume for the sidecar's data may not be writable for it: set the pod's "
            "`securityContext.fsGroup`"
        )


def _operations(pod: _Pod, wishes: Wishes, version: str) -> Iterator[_Operation]:
    """The patch. Lists grow in the order in which these operations are applied; the init container goes last.

    Variables go first in their lists, so that a container's own ones may refer to them.
    """
    served: list[str] = []
    spec, sidecar = pod.spec, wishes.sidecar
    for place, several in (("containers", spec.containers), ("initContainers", spec.init_containers)):
        for number, one in enumerate(several or ()):
            if _is_served(one, wishes, init=place == "initContainers"):
                served.append(one.name)
                known = _names(one.env)
                env = [it for it in app_env(sidecar) if it["name"] not in known]
                yield from _put(f"/spec/{place}/{number}/env", env, one.env, first=True)
                yield from _put(f"/spec/{place}/{number}/volumeMounts", app_mounts(sidecar), one.volume_mounts)
    yield from _put("/spec/volumes", volumes(sidecar), spec.volumes)
    status = {"version": version, "container": CONTAINER, "containers": served, "adjusted": list(wishes.said)}
    said = msgspec.json.encode(status).decode()
    if pod.metadata.annotations is None:
        yield {"op": "add", "path": "/metadata/annotations", "value": {STATUS: said}}
    else:
        yield {"op": "add", "path": f"/metadata/annotations/{STATUS.replace('/', '~1')}", "value": said}
    yield from _put("/spec/initContainers", [container(sidecar)], spec.init_containers, first=not wishes.last)


def _put(
    path: str, values: Sequence[_Operation], present: Sequence[object] | None, *, first: bool = False
) -> Iterator[_Operation]:
    """Put values into a list that may not be there yet, before or after what it holds."""
    if not present:
        if values:
            yield {"op": "add", "path": path, "value": list(values)}
        return
    for value in reversed(values) if first else values:
        yield {"op": "add", "path": f"{path}/{0 if first else '-'}", "value": value}


def _is_served(one: _Container, wishes: Wishes, *, init: bool) -> bool:
    """Say whether a container gets the socket and the variables."""
    return not init if wishes.containers is None else one.name in wishes.containers


def _names(several: Sequence[_Container | _Named] | None) -> list[str]:
    return [one.name for one in several or ()]


def _leave(request: _Request, pod: str) -> Outcome:
    return _outcome(request, pod, {"uid": request.uid, "allowed": True}, "unchanged")


def _refuse(request: _Request, pod: str, problems: Sequence[str]) -> Outcome:
    detail = "; ".join(problems)
    status = {"code": _REFUSED, "reason": "BadRequest", "message": f"tiergate cannot be injected: {detail}"}
    return _outcome(request, pod, {"uid": request.uid, "allowed": False, "status": status}, "refused", detail)


def _outcome(request: _Request, pod: str, answer: Mapping[str, object], result: str, detail: str = "") -> Outcome:
    body = msgspec.json.encode({"apiVersion": _API, "kind": "AdmissionReview", "response": answer})
    return Outcome(body, result, request.namespace, pod, detail)
