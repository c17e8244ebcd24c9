"""Packages that commands need beyond the plain installation."""

from __future__ import annotations

from importlib.util import find_spec

from tiergate.errors import OperatorError


def require_control_plane() -> None:
    """Check that the packages of the control plane are installed, before any is imported.

    Raises:
        OperatorError: if one is missing; the message shows how to install it.
    """
    missing = [
        name for name in ("sqlmodel", "alembic", "psycopg", "jwt", "standardwebhooks") if find_spec(name) is None
    ]
    if missing:
        raise OperatorError(
            "the control plane is not installed: run `pip install 'tiergate[control-plane]'` "
            f"(missing: {', '.join(missing)})"
        )
