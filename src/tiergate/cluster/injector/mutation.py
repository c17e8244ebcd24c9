"""Answer admission reviews: which pods get a sidecar, and the JSON Patch that adds it. Pure.

A pod gets a sidecar if it is created with the label and has no sidecar yet. A pod with invalid annotations, or with
parts that conflict with the sidecar's, is rejected with all reasons; nothing in a pod is overwritten.

In an injected pod that is reviewed again, only containers that were added since get the socket and the variables.
Beside the proxy of a mesh, the sidecar starts after the proxy if that is a sidecar too, so that its connections go
through it, and the kubelet calls its probes by a command, because the proxy may reject plain HTTP. Injection is a
service and no security boundary: who may create pods may create one without a sidecar.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from tiergate.cluster.injector.admission import AdmissionRequest, AdmissionReview, Pod, Status
from tiergate.cluster.injector.annotation_parser import parse_annotations
from tiergate.cluster.injector.annotations import LABEL, STATUS
from tiergate.cluster.injector.obstacles import has_mesh_proxy, is_served, names_of, obstacles, position
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
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from tiergate.cluster.injector.annotation_parser import ParsedAnnotations
    from tiergate.cluster.injector.pod_template import Sidecar
    from tiergate.process.settings import Setting

_API: Final = "admission.k8s.io/v1"
_REFUSED: Final = 400


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


_reviews: Final = msgspec.json.Decoder(AdmissionReview)
_pods: Final = msgspec.json.Decoder(Pod)
_statuses: Final = msgspec.json.Decoder(Status)

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
    if (pod.metadata.labels or {}).get(LABEL) != "true":
        return _leave(request, name)
    parsed = parse_annotations(annotations, injection.sidecar, injection.allowed, injection.settings)
    if _was_injected(pod):
        return _serve_added(request, name, pod, parsed, injection.version)
    if parsed.sidecar.probes == "auto":
        probes: Literal["exec", "http"] = "exec" if has_mesh_proxy(pod) else "http"
        parsed = parsed._replace(sidecar=msgspec.structs.replace(parsed.sidecar, probes=probes))
    problems = (*parsed.problems, *obstacles(pod, parsed)) or _unfit(parsed.sidecar, injection)
    if problems:
        return _reject(request, name, problems)
    answer = _patched(request, _operations(pod, parsed, injection.version))
    warnings = list(_warnings(pod, parsed.sidecar))
    return _outcome(request, name, answer | ({"warnings": warnings} if warnings else {}), "injected")


def _serve_added(
    request: AdmissionRequest, name: str, pod: Pod, parsed: ParsedAnnotations, version: str
) -> ReviewResult:
    """Give the socket and the variables to containers that another webhook added after the injection, if there are any.

    An injected pod that says otherwise than the injector writes, such as one without a readable status, is left alone.
    """
    try:
        status = _statuses.decode((pod.metadata.annotations or {})[STATUS])
    except msgspec.DecodeError:
        return _leave(request, name)
    served: list[str] = []
    patch = [*_serve(pod, parsed, served, except_for=status.containers)]
    if not served or parsed.problems:
        return _leave(request, name)
    patch.append(_write_status(pod, parsed, version, [*status.containers, *served]))
    return _outcome(request, name, _patched(request, patch), "injected")


def _patched(request: AdmissionRequest, operations: Iterable[_Operation]) -> dict[str, object]:
    return {
        "uid": request.uid,
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(msgspec.json.encode([*operations])).decode(),
    }


def _read(body: bytes) -> AdmissionRequest:
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


def _was_injected(pod: Pod) -> bool:
    return STATUS in (pod.metadata.annotations or {}) and CONTAINER in names_of(pod.spec.init_containers)


def _warnings(pod: Pod, sidecar: Sidecar) -> Iterator[str]:
    security = pod.spec.security_context
    is_other = sidecar.data_volume is not None or "emptyDir" not in sidecar.data
    if is_other and (security is None or security.fs_group is None):
        yield (
            "tiergate: the volume for the sidecar's data may not be writable for it: set the pod's "
            "`securityContext.fsGroup`"
        )


def _operations(pod: Pod, parsed: ParsedAnnotations, version: str) -> Iterator[_Operation]:
    """Return the patch. Operations are applied in order; the init container is added last.

    Variables are added at the beginning, so that the container's own variables can refer to them.
    """
    served: list[str] = []
    spec, sidecar = pod.spec, parsed.sidecar
    yield from _serve(pod, parsed, served)
    yield from _put("/spec/volumes", sidecar_volumes(sidecar), spec.volumes)
    known = names_of(spec.image_pull_secrets)
    secrets: list[_Operation] = [{"name": name} for name in sidecar.image_pull_secrets if name not in known]
    yield from _put("/spec/imagePullSecrets", secrets, spec.image_pull_secrets)
    yield _write_status(pod, parsed, version, served)
    if spec.init_containers:
        place = position(pod, parsed)
        yield {"op": "add", "path": f"/spec/initContainers/{place}", "value": sidecar_container(sidecar)}
    else:
        yield {"op": "add", "path": "/spec/initContainers", "value": [sidecar_container(sidecar)]}


def _serve(
    pod: Pod, parsed: ParsedAnnotations, served: list[str], *, except_for: Collection[str] = ()
) -> Iterator[_Operation]:
    """Give containers the variables and the socket, and add their names to `served`."""
    spec, sidecar = pod.spec, parsed.sidecar
    for place, several in (("containers", spec.containers), ("initContainers", spec.init_containers)):
        for number, one in enumerate(several or ()):
            is_done = one.name == CONTAINER or one.name in except_for
            if not is_done and is_served(one, parsed, init=place == "initContainers"):
                served.append(one.name)
                known = names_of(one.env)
                env = [it for it in app_env(sidecar) if it["name"] not in known]
                yield from _put(f"/spec/{place}/{number}/env", env, one.env, first=True)
                yield from _put(f"/spec/{place}/{number}/volumeMounts", app_mounts(sidecar), one.volume_mounts)


def _write_status(pod: Pod, parsed: ParsedAnnotations, version: str, served: Sequence[str]) -> _Operation:
    status = Status(version, CONTAINER, tuple(served), parsed.names)
    text = msgspec.json.encode(status).decode()
    if pod.metadata.annotations is None:
        return {"op": "add", "path": "/metadata/annotations", "value": {STATUS: text}}
    return {"op": "add", "path": f"/metadata/annotations/{STATUS.replace('/', '~1')}", "value": text}


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


def _leave(request: AdmissionRequest, pod: str) -> ReviewResult:
    return _outcome(request, pod, {"uid": request.uid, "allowed": True}, "unchanged")


def _reject(request: AdmissionRequest, pod: str, problems: Sequence[str]) -> ReviewResult:
    detail = "; ".join(problems)
    status = {"code": _REFUSED, "reason": "BadRequest", "message": f"tiergate cannot be injected: {detail}"}
    return _outcome(request, pod, {"uid": request.uid, "allowed": False, "status": status}, "refused", detail)


def _outcome(
    request: AdmissionRequest, pod: str, answer: Mapping[str, object], result: str, detail: str = ""
) -> ReviewResult:
    body = msgspec.json.encode({"apiVersion": _API, "kind": "AdmissionReview", "response": answer})
    return ReviewResult(body, result, request.namespace, pod, detail)
