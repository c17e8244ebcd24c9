"""The paths of other protocols, apart from their endpoints: these are loaded when somebody uses a protocol."""

from __future__ import annotations

from typing import Final

FLAGS_PATH: Final = "/ofrep/v1/evaluate/flags"
FLAG_PATH: Final = f"{FLAGS_PATH}/{{key:path}}"
OFREP_CONFIGURATION_PATH: Final = "/ofrep/v1/configuration"
EVENTS_PATH: Final = "/ofrep/v1/events"

EVALUATION_PATH: Final = "/access/v1/evaluation"
EVALUATIONS_PATH: Final = "/access/v1/evaluations"
SEARCH_PATH: Final = "/access/v1/search/"
SEARCH_TARGETS: Final = ("subject", "resource", "action")
AUTHZEN_CONFIGURATION_PATH: Final = "/.well-known/authzen-configuration"

OFREP: Final = {FLAGS_PATH: "POST", FLAG_PATH: "POST", OFREP_CONFIGURATION_PATH: "GET", EVENTS_PATH: "GET"}
AUTHZEN: Final = {
    EVALUATION_PATH: "POST",
    EVALUATIONS_PATH: "POST",
    **{SEARCH_PATH + target: "POST" for target in SEARCH_TARGETS},
    AUTHZEN_CONFIGURATION_PATH: "GET",
}
"""Path → its method, as the routes of each protocol have them."""
