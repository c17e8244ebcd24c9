"""Client of the sidecar: typed checks and answers over TCP or a Unix socket."""

from tiergate.client.answers import Answer, Entitlement, Explanation, Source, read_answer, read_explanation, read_json
from tiergate.client.outcomes import MeasuredOutcome, OutcomeMinute
from tiergate.client.sidecar import DEFAULT_URL, Sidecar
from tiergate.client.usage import Consumption, FeatureUsage, RecordedUsage, Reservation, UsageWindow

__all__ = [
    "DEFAULT_URL",
    "Answer",
    "Consumption",
    "Entitlement",
    "Explanation",
    "FeatureUsage",
    "MeasuredOutcome",
    "OutcomeMinute",
    "RecordedUsage",
    "Reservation",
    "Sidecar",
    "Source",
    "UsageWindow",
    "read_answer",
    "read_explanation",
    "read_json",
]
