"""Other protocols are loaded later, under the paths that they have."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.serving import Service
from tiergate.sidecar.api import protocol_paths
from tiergate.sidecar.api.authzen.endpoints import routes as authzen_routes
from tiergate.sidecar.api.ofrep.endpoints import routes as ofrep_routes


@pytest.mark.parametrize("protocol", ["ofrep", "authzen"])
def test_the_paths_are_those_of_the_protocol(protocol: str) -> None:
    """With their methods: a path that is not in both lists would not be reached."""
    native = Service().native
    made, listed = {
        "ofrep": (ofrep_routes(native.ofrep), protocol_paths.OFREP),
        "authzen": (authzen_routes(native.authzen), protocol_paths.AUTHZEN),
    }[protocol]
    assert {route.path: sorted((route.methods or set()) - {"HEAD"}) for route in made} == {
        path: [method] for path, method in listed.items()
    }


def test_a_protocol_that_nobody_speaks_is_not_loaded() -> None:
    """Nor is what makes the OpenAPI document, or what several workers need: together more than a megabyte."""
    program = (
        "import sys, tiergate.sidecar.server\n"
        "for part in ('api.ofrep.bulk', 'api.authzen.batches', 'api.openapi', 'workers.pool'):\n"
        "    assert f'tiergate.sidecar.{part}' not in sys.modules, part\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
