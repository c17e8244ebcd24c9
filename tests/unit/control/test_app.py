"""What the control plane is put together from."""

from __future__ import annotations

from tiergate.control.app import BriefMemory
from tiergate.permissions import Caller, CallerKind


class Counting:
    """Names callers by their token's roles, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, token: str) -> Caller:
        """Name a caller."""
        self.asked.append(token)
        return Caller(token, CallerKind.KEY, frozenset(token.split("+")))


def test_a_sidecar_is_remembered_for_a_moment() -> None:
    """It asks with every change, and is looked up once a second."""
    identify = Counting()
    remember = BriefMemory(identify)
    assert {remember("sidecar").id for _ in range(3)} == {"sidecar"}
    assert identify.asked == ["sidecar"]


def test_nobody_else_is_remembered() -> None:
    """Whoever may change something is looked up each time: what was revoked is refused at once."""
    identify = Counting()
    remember = BriefMemory(identify)
    for token in ("admin", "sidecar+admin", "analyst"):
        remember(token)
        remember(token)
    assert identify.asked == ["admin", "admin", "sidecar+admin", "sidecar+admin", "analyst", "analyst"]
