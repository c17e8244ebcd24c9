"""The types of settings: how a value is read from a flag, a variable or a settings file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_UNITS = {"": 1, "b": 1} | {
    unit: base**power
    for power, letter in enumerate("kmgtpe", 1)
    for base, units in ((1024, (f"{letter}i", f"{letter}ib")), (1000, (letter, f"{letter}b")))
    for unit in units
}
"""The units of sizes, in lower case, Kubernetes' among them."""
_PEM = re.compile(r"(-----BEGIN PUBLIC KEY-----)([A-Za-z0-9+/=\s]{1,4096})(-----END PUBLIC KEY-----)")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]{1,16384})-----END CERTIFICATE-----", re.ASCII)
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class SettingType(Generic[T]):
    """How a value is read from text and shown.

    `read` raises `ValueError` with what the value must be. `types`: its types in a settings file, which has numbers and
    booleans.
    """

    word: str
    read: Callable[[str], T]
    show: Callable[[T], str] = str
    types: tuple[type, ...] = (str,)

    def from_file(self, value: object) -> T:
        """Read a value of a settings file.

        Raises:
            ValueError: the value is invalid.
        """
        if type(value) not in self.types:
            raise ValueError(f"must be {_TYPE_NAMES[self.types[0]]}")
        if isinstance(value, bool):
            return self.read(str(value).lower())
        return self.read(f"{value:.9f}" if isinstance(value, float) else str(value))


_TYPE_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "`true` or `false`"}


def _read_text(text: str) -> str:
    if _PRINTABLE.fullmatch(text) is None:
        raise ValueError("must be text without control characters")
    return text


def _read_pem(text: str) -> str:
    r"""Read a key whose line ends may be lost or written as `\n`."""
    match = _PEM.fullmatch(text.replace("\\n", "\n").strip())
    if match is None:
        raise ValueError("must be one key in PEM: `-----BEGIN PUBLIC KEY-----`, its text, `-----END PUBLIC KEY-----`")
    head, content, end = match.groups()
    return "\n".join((head, *content.split(), end, ""))


def _read_certificates(text: str) -> str:
    r"""Read certificates whose line ends may be lost or written as `\n`."""
    text = text.replace("\\n", "\n")
    blocks = _CERTIFICATE.findall(text)
    if not blocks or _CERTIFICATE.sub("", text).strip():
        raise ValueError("must be certificates in PEM: `-----BEGIN CERTIFICATE-----`, its text, and its end, for each")
    head, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return "".join("\n".join((head, *content.split(), end, "")) for content in blocks)


def _read_path(text: str) -> Path:
    return Path(_read_text(text))


def _read_boolean(text: str) -> bool:
    match text.lower():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case _:
            raise ValueError("must be `true` or `false`")


def _show_boolean(value: bool) -> str:  # noqa: FBT001 - the value itself
    return "true" if value else "false"


def _read_integer(text: str, least: int, most: int, rule: str) -> int:
    if re.fullmatch(r"\d{1,18}", text, re.ASCII) is None or not least <= int(text) <= most:
        raise ValueError(rule)
    return int(text)


def _read_port(text: str) -> int:
    return _read_integer(text, 0, 65535, "must be a port, 0 to 65535")


def _read_count(text: str) -> int:
    return _read_integer(text, 1, 10**12, "must be a whole number of at least 1")


def _read_whole(text: str) -> int:
    return _read_integer(text, 0, 10**12, "must be a whole number")


def _read_mode(text: str) -> int:
    if re.fullmatch(r"0?[0-7]{3}", text, re.ASCII) is None:
        raise ValueError("must be three octal digits, such as `660`")
    return int(text, 8)


def _read_seconds(text: str) -> float:
    return _read_decimal(text, 0.001, 86400.0, "must be a number of seconds, more than 0 and at most 86400")


def _read_share(text: str) -> float:
    return _read_decimal(text, 0.0, 1.0, "must be a number from 0 to 1")


def _read_decimal(text: str, least: float, most: float, rule: str) -> float:
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII) is None or not least <= float(text) <= most:
        raise ValueError(rule)
    return float(text)


def _read_bytes(text: str) -> int:
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?([a-z]*)", text.lower(), re.ASCII)
    size = 0 if match is None or match[2] not in _UNITS else int(Decimal(match[1]) * _UNITS[match[2]])
    if not size:
        raise ValueError("must be a size, such as `65536`, `512KiB` or `1MiB`")
    return size


def _show_bytes(size: int) -> str:
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)


def _show_decimal(value: float) -> str:
    return str(int(value)) if math.floor(value) == value else str(value)


def choice(*words: str, word: str = "") -> SettingType[str]:
    """Return the type of one of some words; `word` names the type if they are too many to list."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError("must be one of " + ", ".join(f"`{it}`" for it in words))
        return text

    return SettingType(word or "|".join(words), read)


TEXT: SettingType[str] = SettingType("text", _read_text)
HOST: SettingType[str] = SettingType("address", _read_text)
PATH: SettingType[Path] = SettingType("path", _read_path)
PEM: SettingType[str] = SettingType("PEM", _read_pem)
CERTIFICATES: SettingType[str] = SettingType("PEM", _read_certificates)
PORT: SettingType[int] = SettingType("port", _read_port, types=(int,))
COUNT: SettingType[int] = SettingType("number", _read_count, types=(int,))
WHOLE: SettingType[int] = SettingType("number", _read_whole, types=(int,))
MODE: SettingType[int] = SettingType("mode", _read_mode, lambda mode: f"{mode:03o}")
SECONDS: SettingType[float] = SettingType("seconds", _read_seconds, _show_decimal, types=(float, int))
SHARE: SettingType[float] = SettingType("share", _read_share, _show_decimal, types=(float, int))
BYTES: SettingType[int] = SettingType("size", _read_bytes, _show_bytes, types=(str, int))
BOOLEAN: SettingType[bool] = SettingType("boolean", _read_boolean, _show_boolean, types=(bool,))
