"""Ask a sidecar from Python: typed questions and answers over TCP or a Unix socket."""

from tiergate.client.answers import Answer, Entitlement, Source, read_answer, read_json
from tiergate.client.sidecar import DEFAULT_URL, Sidecar

__all__ = ["DEFAULT_URL", "Answer", "Entitlement", "Sidecar", "Source", "read_answer", "read_json"]
