"""The key that a sidecar sends to a control plane, and the public keys of the store that it trusts.

A key file holds a bare key or token, or the JSON that `tiergate keys create --role sidecar` writes:
`{"control_plane": "https://…", "key": "…", "store": "…", "public_keys": ["-----BEGIN PUBLIC KEY-----…"]}`. It is read
again for every request, so that a replaced token, as of Kubernetes, is used at once.

What is not usable is a `SettingsError`, whose message contains nothing of a key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.bundle import VerifyKey
from tiergate.errors import SettingsError
from tiergate.process.regular_files import read_regular

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MOST_BYTES: Final = 64 * 1024
_BARE: Final = re.compile(r"[!-~]{8,16384}")
_HOW: Final = (
    "give `public-key`, a file with the store's public key, or `public-key-pem`, the key itself (the control plane's "
    "operator gets it with `tiergate keys signing-key public-key`), or a `key-file` as `tiergate keys create --role "
    "sidecar` writes it, which contains it"
)


class Credential(msgspec.Struct, frozen=True):
    """The content of a key file."""

    key: str
    control_plane: str | None = None
    store: str | None = None
    public_keys: tuple[str, ...] = ()


class TrustConfig(NamedTuple):
    """The configured control plane, store and keys."""

    control_plane: str | None
    store: str | None
    keys: tuple[VerifyKey, ...]


def read_credential(path: Path) -> Credential:
    """Read a key file."""
    try:
        content = read_regular(path, _MOST_BYTES).strip()
    except OSError as error:
        raise SettingsError("key-file", f"`{path}` cannot be read: {error.strerror}") from None
    if content.startswith(b"{"):
        try:
            credential = msgspec.json.decode(content, type=Credential)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SettingsError("key-file", f"`{path}` is not as `tiergate keys create` writes it: {error}") from None
    else:
        credential = Credential(content.decode("ascii", "replace"))
    if _BARE.fullmatch(credential.key) is None:
        raise SettingsError("key-file", f"`{path}` must contain one key or token, of visible ASCII characters")
    return credential


def read_trust_config(
    control_plane: str | None,
    store: str | None,
    public_keys: Sequence[Path],
    key_file: Path | None,
    pems: Sequence[str] = (),
) -> TrustConfig:
    """Combine the settings and the key file; the settings take precedence. `pems`: public keys themselves."""
    credential = None if key_file is None else read_credential(key_file)
    keys = [_public_key(path) for path in public_keys]
    keys += [_parse(pem, "the value", "public-key-pem") for pem in pems]
    if credential is not None:
        control_plane = control_plane or credential.control_plane
        store = store or credential.store
        keys += [_parse(pem, f"the key in `{key_file}`", "key-file") for pem in credential.public_keys]
    if not keys:
        raise SettingsError("public-key", f"is required, because unsigned data is rejected: {_HOW}")
    return TrustConfig(control_plane, store, tuple(dict.fromkeys(keys)))


def _public_key(path: Path) -> VerifyKey:
    try:
        pem = read_regular(path, _MOST_BYTES)
    except OSError as error:
        raise SettingsError("public-key", f"`{path}` cannot be read: {error.strerror}") from None
    return _parse(pem, f"the key in `{path}`", "public-key")


def _parse(pem: bytes | str, place: str, setting: str) -> VerifyKey:
    try:
        return VerifyKey.from_pem(pem)
    except ValueError as error:
        raise SettingsError(setting, f"{place} {error}") from None
