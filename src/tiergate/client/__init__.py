"""Client of the sidecar: typed checks and answers over TCP or a Unix socket."""

from tiergate.client.answers import Answer, Entitlement, Explanation, Source, read_answer, read_explanation, read_json
from tiergate.client.sidecar import DEFAULT_URL, Sidecar

__all__ = [
    "DEFAULT_URL",
    "Answer",
    "Entitlement",
    "Explanation",
    "Sidecar",
    "Source",
    "read_answer",
    "read_explanation",
    "read_json",
]
