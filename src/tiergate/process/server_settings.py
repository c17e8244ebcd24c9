"""The settings that several server processes share: listening, TLS, limits and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.process.setting_types import HOST, PATH, PORT, SECONDS, choice
from tiergate.process.settings import setting

if TYPE_CHECKING:
    from pathlib import Path

LISTENING: Final = "Listening"
ACCESS: Final = "Access"
LIMITS: Final = "Limits"
LOGS: Final = "Logs"

_EVERY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - clients are outside of this machine or pod


def port_setting(default: int, of: str = "", group: str = LISTENING) -> int:
    """Declare a port to listen on. `of`: what listens there, such as `the API`."""
    return setting(group, PORT, default, f"Port{of and f' of {of}'}; 0 selects any free port.")


def every_address_setting(of: str) -> str:
    """Declare an address to listen on that is every address by default."""
    return setting(LISTENING, HOST, _EVERY_ADDRESS, f"Address of {of}.")


def certificate_setting(group: str, more: str) -> Path | None:
    """Declare the file of a server's certificate chain."""
    return setting(group, PATH, None, f"File with the certificate chain, in PEM{more}")


def certificate_key_setting(group: str) -> Path | None:
    """Declare the file of a server's private key."""
    return setting(group, PATH, None, "File with the private key of the certificate, in PEM.")


def keep_alive_setting() -> float:
    """Declare the idle time of connections."""
    return setting(LIMITS, SECONDS, 75.0, "How long a connection may be idle before it is closed.")


def shutdown_timeout_setting(default: float, group: str = LIMITS) -> float:
    """Declare the time for a graceful shutdown."""
    return setting(group, SECONDS, default, "How long to wait for requests in progress after SIGTERM.")


def log_format_setting() -> str:
    """Declare the format of logs."""
    kinds = choice("auto", "console", "json")
    return setting(LOGS, kinds, "auto", "Format of the log; `auto` is `console` in a terminal, otherwise `json`.")


def log_level_setting() -> str:
    """Declare the level of logs."""
    return setting(LOGS, choice("debug", "info", "warning", "error"), "info", "Lowest level that is logged.")
