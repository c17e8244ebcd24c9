"""The key of the first admin, if an operator chooses it and passes it in a file, such as a mounted Secret.

It is registered once in the life of a store, by the first replica that starts. Afterwards the file has no effect: a
revoked key does not come back, and write access to the file gives nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from tiergate.errors import ConflictError, ReadOnlyStoreError, SettingsError
from tiergate.store import Author
from tiergate.store.keys import authenticate_key, bootstrap, is_key

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.store import Store

_SETTING = "bootstrap-admin-key-file"
_OPERATOR = Author("operator", "system")

_log = structlog.get_logger(__name__)


def read_admin_key(path: Path | None) -> str | None:
    """Read the key from the file that the setting names, if it names one.

    Raises:
        SettingsError: it cannot be read, or has no key. The message shows nothing of its content.
    """
    if path is None:
        return None
    try:
        text = path.read_text("ascii").strip()
    except OSError as error:
        raise SettingsError(_SETTING, f"`{path}` cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not is_key(text):
        form = "`tg_`, 12 letters and digits, `_`, and a secret of 43 characters"
        raise SettingsError(_SETTING, f"`{path}` must contain one API key: {form}")
    return text


def register_admin_key(text: str | None, store: Store) -> None:
    """Register the key of the store's first admin, if the store has none yet."""
    if text is None:
        return
    try:
        registered = store.change(lambda unit: bootstrap(unit, "first admin", text=text), _OPERATOR)
    except ReadOnlyStoreError:
        _log.warning("database is read-only; cannot register the first admin's key", setting=_SETTING)
    except ConflictError:
        if store.read(lambda unit: authenticate_key(unit, text)) is None:
            _log.warning(
                "first admin's key ignored: the store has registered another one before",
                setting=_SETTING,
                mend="create another one with `tiergate keys bootstrap-admin --force`",
            )
    else:
        _log.info("first admin's key registered", key=registered.key.id)
