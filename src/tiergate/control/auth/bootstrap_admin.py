"""The first admin's key, where an operator made it up and hands it over in a file, as a Secret of a cluster is mounted.

A store takes it once in its life, whoever starts it first of several replicas. From then on the file means nothing: a
key that was revoked does not come back, and whoever can write the file later on gains nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import structlog

from tiergate.errors import ConflictError, ReadOnlyStoreError, SettingsError
from tiergate.store import Author
from tiergate.store.keys import bootstrap, is_key, proven_key

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.store import Store

_SETTING = "bootstrap-admin-key-file"
_OPERATOR = Author("operator", "system")

_log = structlog.get_logger(__name__)


class BootstrapAdmin:
    """The key that a file holds, or none."""

    __slots__ = ("_text",)

    def __init__(self, text: str | None) -> None:
        """Use `read` instead."""
        self._text = text

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Read the file that the setting names.

        Raises:
            SettingsError: it cannot be read, or holds no key. The message holds nothing of what it holds.
        """
        if path is None:
            return cls(None)
        try:
            text = path.read_text("ascii").strip()
        except OSError as error:
            raise SettingsError(_SETTING, f"`{path}` cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            text = ""
        if not is_key(text):
            made = "`tg_`, 12 letters and digits, `_`, and a secret of 43 characters"
            raise SettingsError(_SETTING, f"`{path}` must hold one API key: {made}")
        return cls(text)

    def register(self, store: Store) -> None:
        """Make it the key of the store's first admin, if that one has none yet."""
        if self._text is None:
            return
        text = self._text
        try:
            made = store.change(lambda unit: bootstrap(unit, "first admin", text=text), _OPERATOR)
        except ReadOnlyStoreError:
            _log.warning("the database takes no changes; the first admin's key is not registered", setting=_SETTING)
        except ConflictError:
            if store.read(lambda unit: proven_key(unit, text)) is None:
                _log.warning(
                    "the store does not know this first admin's key, and does not take it: it has taken one before",
                    setting=_SETTING,
                    mend="`tiergate keys bootstrap-admin --force` makes another one",
                )
        else:
            _log.info("registered the first admin's key", key=made.key.id)
