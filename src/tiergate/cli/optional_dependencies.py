"""What a command needs beyond the plain installation."""

from __future__ import annotations

from importlib.util import find_spec

from tiergate.errors import OperatorError


def require_control_plane() -> None:
    """Make sure that the dependencies of the control plane are there, before anything of it is imported.

    Raises:
        OperatorError: they are not; the message says how to install them.
    """
    missing = [
        name for name in ("sqlmodel", "alembic", "psycopg", "jwt", "standardwebhooks") if find_spec(name) is None
    ]
    if missing:
        raise OperatorError(
            "this is a sidecar's installation, without the control plane: `pip install 'tiergate[control-plane]'` "
            f"(missing: {', '.join(missing)})"
        )
