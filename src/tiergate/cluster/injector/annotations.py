"""What a pod may say about its sidecar: a closed list of annotations, of which the operator allows some.

Image, control plane, keys, token and the socket's mode are on no list: whoever may make pods must not decide whom a
sidecar believes. How they are read, `wishes` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DOMAIN: Final = "tiergate.dev/"
"""What the name of every annotation begins with."""

LABEL: Final = DOMAIN + "inject"
"""The label that asks for a sidecar, with the value `true`."""

STATUS: Final = DOMAIN + "status"
"""The annotation by which the injector says what it did."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One of the list. `setting`: it is the sidecar's setting of this name; `usual`: allowed unless the operator says.

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
        "first \\| last",
        "Whether the sidecar starts before the pod's other init containers, or after them. Without it, `first`.",
    ),
    Annotation("port", "port", "The port of the API, on the pod's loopback."),
    Annotation("probe-port", "port", "The port of probes, status and metrics."),
    Annotation("socket-path", "path", "The Unix socket, in a folder below `/run` that nothing else is mounted at."),
    Annotation("cpu-request", "quantity", "The CPU that is reserved for the sidecar, such as `100m`."),
    Annotation("cpu-limit", "quantity", "The most CPU that it gets."),
    Annotation("memory-request", "quantity", "The memory that is reserved for the sidecar, such as `256Mi`."),
    Annotation("memory-limit", "quantity", "The most memory that it gets."),
    Annotation("data-size", "quantity", "The size of the volume for its data, such as `4Gi`."),
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
"""All that there are, in the order of the reference page."""

USUAL: Final = tuple(one.name for one in ANNOTATIONS if one.usual)
"""Those that are allowed unless the operator says otherwise: what concerns the pod, not what is decided."""
