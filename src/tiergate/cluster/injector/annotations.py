"""The annotations by which a pod can configure its sidecar: a closed list, of which the operator allows some.

The list has no image, control plane, keys, token or socket mode: who may create pods must not decide what a sidecar
trusts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DOMAIN: Final = "tiergate.dev/"
"""Prefix of every annotation."""

LABEL: Final = DOMAIN + "inject"
"""The label that requests a sidecar, with the value `true`."""

STATUS: Final = DOMAIN + "status"
"""The annotation with the injector's result."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation. `setting`: it is the sidecar's setting of this name; `usual`: allowed by default.

    `name` is without the domain; `kind` and `help` are for the reference page.
    """

    name: str
    kind: str
    help: str
    usual: bool = True
    setting: bool = False


ANNOTATIONS: Final = (
    Annotation(
        "containers",
        "names, with commas",
        "Which containers get the socket and the variables; init containers may be named too. Without it, all "
        "containers, and no init container.",
    ),
    Annotation(
        "order",
        "first \\| last \\| after:NAME",
        "Whether the sidecar starts before the pod's other init containers, after them, or right after the one with "
        "this name. Without it, `first`; but after the proxy of Istio or Linkerd, if that is a sidecar too.",
    ),
    Annotation("port", "port", "The port of the API, on the pod's loopback."),
    Annotation("probe-port", "port", "The port of probes, status and metrics."),
    Annotation("socket-path", "path", "The Unix socket, in a folder below `/run` that nothing else is mounted at."),
    Annotation("cpu-request", "quantity", "The CPU that is reserved for the sidecar, such as `100m`."),
    Annotation("cpu-limit", "quantity", "The most CPU that it gets."),
    Annotation("memory-request", "quantity", "The memory that is reserved for the sidecar, such as `256Mi`."),
    Annotation("memory-limit", "quantity", "The most memory that it gets."),
    Annotation("data-size", "quantity", "The size of the volume for its data, such as `4Gi`."),
    Annotation(
        "data-volume",
        "name",
        "A volume of the pod for its data, instead of one that is made and ends with the pod: a claim of a StatefulSet "
        "keeps usage that is not reported yet. Nothing else may mount it.",
    ),
    Annotation("cache-size", "size", "As the setting.", setting=True),
    Annotation("log-format", "word", "As the setting.", setting=True),
    Annotation("log-level", "word", "As the setting.", setting=True),
    Annotation("on-demand", "boolean", "As the setting.", setting=True),
    Annotation("on-demand-keep", "number", "As the setting.", setting=True),
    Annotation("on-demand-timeout", "seconds", "As the setting.", setting=True),
    Annotation("shutdown-timeout", "seconds", "As the setting.", setting=True),
    Annotation("decision-log", "text", "As the setting; `-` is the container's log.", usual=False, setting=True),
    Annotation("decision-log-feature", "text", "As the setting.", usual=False, setting=True),
    Annotation("decision-log-outcome", "word", "As the setting.", usual=False, setting=True),
    Annotation("decision-log-reason", "reason", "As the setting.", usual=False, setting=True),
    Annotation("decision-log-sample", "share", "As the setting.", usual=False, setting=True),
    Annotation("decision-log-subject", "word", "As the setting.", usual=False, setting=True),
    Annotation("decision-log-user", "word", "As the setting.", usual=False, setting=True),
    Annotation("max-staleness", "seconds", "As the setting.", usual=False, setting=True),
    Annotation("stale-deny", "text", "As the setting.", usual=False, setting=True),
    Annotation("startup-allow", "text", "As the setting.", usual=False, setting=True),
    Annotation(
        "startup-deadline", "seconds", "As the setting; the startup probe waits accordingly.", usual=False, setting=True
    ),
)
"""All annotations, in the order of the reference page."""

DEFAULT_ANNOTATIONS: Final = tuple(it.name for it in ANNOTATIONS if it.usual)
"""Those that are allowed by default: they concern the pod, not the decisions."""
