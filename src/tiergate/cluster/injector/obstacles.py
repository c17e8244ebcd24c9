"""Where a sidecar goes in a pod, which containers it serves, and what in the pod makes it impossible. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tiergate.cluster.injector.annotation_parser import AFTER
from tiergate.cluster.injector.annotations import DOMAIN, LABEL
from tiergate.cluster.injector.pod_template import CONTAINER, app_mounts, sidecar_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.cluster.injector.admission import Container, Named, Pod
    from tiergate.cluster.injector.annotation_parser import ParsedAnnotations
    from tiergate.cluster.injector.pod_template import Sidecar

_WINDOWS: Final = "windows"
_MESH_PROXIES: Final = frozenset({"istio-proxy", "linkerd-proxy"})


def has_mesh_proxy(pod: Pod) -> bool:
    """Return whether a pod has the proxy of Istio or Linkerd."""
    everything = (*(pod.spec.init_containers or ()), *(pod.spec.containers or ()))
    return not _MESH_PROXIES.isdisjoint(names_of(everything))


def position(pod: Pod, parsed: ParsedAnnotations) -> int:
    """Return at which place among the pod's init containers the sidecar starts."""
    init = pod.spec.init_containers or ()
    if parsed.order == "last":
        return len(init)
    if parsed.order.startswith(AFTER):
        named = {parsed.order.removeprefix(AFTER)}
    elif parsed.order == "first":
        named = set()
    else:
        named = {one.name for one in init if one.name in _MESH_PROXIES and one.restart_policy == "Always"}
    return max((place for place, one in enumerate(init, 1) if one.name in named), default=0)


def is_served(one: Container, parsed: ParsedAnnotations, *, init: bool) -> bool:
    """Return whether a container gets the socket and the variables."""
    return not init if parsed.containers is None else one.name in parsed.containers


def names_of(several: Sequence[Container | Named] | None) -> list[str]:
    """Return the names, in order."""
    return [one.name for one in several or ()]


def obstacles(pod: Pod, parsed: ParsedAnnotations) -> Iterator[str]:
    """Yield what in the pod stands where the sidecar would, or makes it impossible; each as a sentence with a cure."""
    spec, sidecar = pod.spec, parsed.sidecar
    everything = (*(spec.init_containers or ()), *(spec.containers or ()))
    names = names_of(everything)
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
    if sidecar.data_volume is not None:
        taken.add(sidecar.data_volume)
        if sidecar.data_volume not in names_of(spec.volumes):
            yield f"the data should be in the volume `{sidecar.data_volume}`, and the pod has no such volume"
    yield from _host_network(pod, parsed)
    yield from _order(pod, parsed)
    for one in everything:
        yield from _ports_taken(one, sidecar)
        for own in sorted({mount.name for mount in one.volume_mounts or ()} & taken):
            yield f"container `{one.name}` mounts the volume `{own}`, which is the sidecar's: take that mount away"
    yield from _mounts_taken(pod, parsed)


def _host_network(pod: Pod, parsed: ParsedAnnotations) -> Iterator[str]:
    spec, url = pod.spec, parsed.sidecar.control_plane
    if not spec.host_network:
        return
    if not {"port", "probe-port"} <= set(parsed.names):
        yield (
            f"the pod uses its node's network: choose ports that are free there by `{DOMAIN}port` and "
            f"`{DOMAIN}probe-port`"
        )
    if spec.dns_policy in {None, "ClusterFirst"} and _is_in_cluster(url):
        yield (
            f"the pod uses its node's network, where `{url}` cannot be resolved: set `dnsPolicy: "
            "ClusterFirstWithHostNet`"
        )


def _order(pod: Pod, parsed: ParsedAnnotations) -> Iterator[str]:
    init = pod.spec.init_containers or ()
    after = parsed.order.removeprefix(AFTER)
    if parsed.order.startswith(AFTER) and after not in names_of(init):
        yield f"annotation `{DOMAIN}order` names `{after}`, and the pod has no such init container"
    for one in init[: position(pod, parsed)]:
        if one.restart_policy != "Always" and is_served(one, parsed, init=True):
            yield (
                f"init container `{one.name}` would run before the sidecar that `{DOMAIN}containers` gives it: set "
                f"`{DOMAIN}order` so that the sidecar starts before it"
            )


def _ports_taken(one: Container, sidecar: Sidecar) -> Iterator[str]:
    for name, number in (("port", sidecar.port), ("probe-port", sidecar.probe_port)):
        if any(port.container_port == number for port in one.ports or ()):
            yield f"container `{one.name}` uses port {number}: choose another one for the sidecar by `{DOMAIN}{name}`"


def _mounts_taken(pod: Pod, parsed: ParsedAnnotations) -> Iterator[str]:
    (mount,) = app_mounts(parsed.sidecar)
    folder = PurePosixPath(str(mount["mountPath"]))
    for init, several in ((True, pod.spec.init_containers), (False, pod.spec.containers)):
        for one in several or ():
            mounted = [PurePosixPath(other.mount_path) for other in one.volume_mounts or ()]
            if is_served(one, parsed, init=init) and folder in mounted:
                yield (
                    f"container `{one.name}` mounts something at `{folder}` already: select another folder for the "
                    f"socket by `{DOMAIN}socket-path`"
                )


def _is_in_cluster(url: str) -> bool:
    """Return whether only the cluster's DNS knows the host of a URL."""
    return ".svc" in f"{urlsplit(url).hostname}."
