from __future__ import annotations

import pytest

from tiergate.http.loopback import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_this_machine_is_loopback(host: str) -> None:
    """Addresses of both families, and the one name."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "10.0.0.1", "::", "localhost.example", "127.0.0.1.example"])
def test_no_other_host_is_loopback(host: str) -> None:
    """A name that only looks like this machine may point anywhere."""
    assert not is_loopback(host)
