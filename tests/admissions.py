"""Admission reviews for tests: documents as an API server sent them, and what it makes of the answers.

The documents were written down from a real API server, word by word. `patched` applies a JSON Patch by RFC 6902, as far
as `add` goes, in the simplest way; that a real API server takes it the same way is tested where there is one.
"""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

from tiergate.bundle import SigningKey
from tiergate.cluster.injector.annotations import DEFAULT_ANNOTATIONS
from tiergate.cluster.injector.mutation import InjectionConfig, ReviewResult, review_pod
from tiergate.cluster.injector.pod_template import Sidecar
from tiergate.sidecar.setting_sources import resolve
from tiergate.sidecar.settings import SETTINGS

REVIEWS = Path(__file__).parent / "unit" / "cluster" / "injector" / "reviews"

_KEY = "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
_PRIVATE_KEY = f"-----BEGIN PRIVATE KEY-----\n{_KEY}\n-----END PRIVATE KEY-----\n"

PUBLIC_KEY = SigningKey.from_pem(_PRIVATE_KEY).verify_key.to_pem()
"""Always the same, so that what is injected is."""


def read_review(name: str) -> dict[str, Any]:
    """A document: `shop` (a pod with this and that), `least` (the least that a pod has), `injected` (again)."""
    found: dict[str, Any] = json.loads((REVIEWS / f"{name}.json").read_text())
    return found


def asked(name: str = "least", *, annotations: dict[str, str] | None = None, **spec: object) -> dict[str, Any]:
    """A document with these annotations, without the domain, beside its own, and these parts of its pod's `spec`."""
    document = read_review(name)
    pod = document["request"]["object"]
    pod["metadata"].setdefault("annotations", {}).update(
        {f"tiergate.dev/{it}": value for it, value in (annotations or {}).items()}
    )
    pod["spec"] |= copy.deepcopy(spec)
    return document


def injection(*, allowed: tuple[str, ...] = DEFAULT_ANNOTATIONS, **sidecar: Any) -> InjectionConfig:  # noqa: ANN401 - fields of `Sidecar`
    """What an operator says."""
    said = {
        "image": "tiergate-sidecar:1.2.3",
        "control_plane": "https://tiergate.tiergate.svc:8440",
        "public_keys": (PUBLIC_KEY,),
    }
    known = {one.name: one for one in SETTINGS}
    return InjectionConfig(Sidecar(**(said | sidecar)), allowed, known, lambda env: resolve({}, env), "1.2.3")


def inject(document: dict[str, Any], given: InjectionConfig | None = None) -> ReviewResult:
    """What the injector answers."""
    return review_pod(json.dumps(document).encode(), given or injection())


def answer(outcome: ReviewResult | bytes) -> dict[str, Any]:
    """The response in an answer."""
    found: dict[str, Any] = json.loads(outcome if isinstance(outcome, bytes) else outcome.body)["response"]
    return found


def patched(document: dict[str, Any], outcome: ReviewResult | bytes) -> dict[str, Any]:
    """The pod after an answer that lets it in."""
    pod: dict[str, Any] = copy.deepcopy(document["request"]["object"])
    response = answer(outcome)
    assert response["allowed"], response
    for operation in json.loads(base64.b64decode(response.get("patch", "W10="))):
        assert operation["op"] == "add"
        *parents, last = [
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].removeprefix("/").split("/")
        ]
        place: Any = pod
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if isinstance(place, list):
            place.insert(len(place) if last == "-" else int(last), operation["value"])
        else:
            place[last] = operation["value"]
    return pod
