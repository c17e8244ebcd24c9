"""Parse the annotations of a pod into the sidecar that it gets, and report all problems at once. Pure.

The sidecar's settings validate the values of the annotations that set them.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.cluster.injector.annotations import ANNOTATIONS, DOMAIN, LABEL, STATUS
from tiergate.errors import did_you_mean
from tiergate.naming import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tiergate.cluster.injector.pod_template import Sidecar
    from tiergate.process.settings import Setting

AFTER: Final = "after:"
"""In the annotation `order`, before the name of an init container."""

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CPU: Final = re.compile(r"\d{1,4}(\.\d{1,3})?|\d{1,7}m", re.ASCII)
_BYTES: Final = re.compile(r"(\d{1,15})(k|M|G|T|Ki|Mi|Gi|Ti)?", re.ASCII)
# Only below `/run`: mounted elsewhere, the folder would hide files of the sidecar, and a pod could replace them.
# Secrets are mounted in `/run/secrets`.
_PATH: Final = re.compile(r"/run/(?!secrets/)[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+", re.ASCII)
_MAX_PATH: Final = 100
_PORT: Final = re.compile(r"\d{4,5}", re.ASCII)
_SCALE: Final[Mapping[str, Decimal]] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}


class ParsedAnnotations(NamedTuple):
    """The result of parsing.

    `sidecar`: adjusted by the annotations; `containers`: those that get the socket, `None` for all; `order`: `first`,
    `last`, or `after:` and an init container, empty if it is not given; `names`: the annotations, sorted; `problems`:
    one sentence each.
    """

    sidecar: Sidecar
    containers: tuple[str, ...] | None
    order: str
    names: tuple[str, ...]
    problems: tuple[str, ...]


def parse_annotations(
    annotations: Mapping[str, str], sidecar: Sidecar, allowed: Collection[str], settings: Mapping[str, Setting]
) -> ParsedAnnotations:
    """Parse the annotations of a pod. `sidecar`: the operator's; `settings`: those of the sidecar, by name.

    If there are problems, the rest of the result is meaningless.
    """
    values = {
        name.removeprefix(DOMAIN): value.strip()
        for name, value in sorted(annotations.items())
        if name.startswith(DOMAIN) and name not in {STATUS, LABEL}
    }
    reading = _AnnotationReader(sidecar, settings)
    for name, value in values.items():
        problem = _rejection(name, allowed) or reading.apply(name, value)
        if problem:
            reading.problems.append(f"annotation `{DOMAIN}{name}` {problem}")
    adjusted = reading.finish()
    return ParsedAnnotations(adjusted, reading.containers, reading.order, tuple(values), tuple(reading.problems))


def _rejection(name: str, allowed: Collection[str]) -> str:
    known = [it.name for it in ANNOTATIONS]
    if name not in known:
        near = nearest(name, known)
        return "does not exist" + did_you_mean(near and f"{DOMAIN}{near}")
    return "" if name in allowed else "is not allowed in this cluster: the operator of Tiergate decides that"


class _AnnotationReader:
    """A sidecar while annotations are applied to it."""

    def __init__(self, sidecar: Sidecar, settings: Mapping[str, Setting]) -> None:
        self._sidecar = sidecar
        self._settings = settings
        self._values: dict[str, str] = dict(sidecar.settings)
        self._fields: dict[str, object] = {}
        self._requests = dict(sidecar.resources.requests)
        self._limits = dict(sidecar.resources.limits)
        self.containers: tuple[str, ...] | None = None
        self.order = ""
        self.problems: list[str] = []

    def apply(self, name: str, value: str) -> str:
        """Apply one annotation; return its problem, or an empty text."""
        parsers: dict[str, Callable[[str, str], str]] = {
            "containers": self._apply_containers,
            "order": self._apply_order,
            "port": self._apply_port,
            "probe-port": self._apply_port,
            "socket-path": self._apply_path,
            "cpu-request": self._apply_quantity,
            "cpu-limit": self._apply_quantity,
            "memory-request": self._apply_quantity,
            "memory-limit": self._apply_quantity,
            "data-size": self._apply_size,
            "data-volume": self._apply_volume,
        }
        return parsers.get(name, self._apply_setting)(name, value)

    def finish(self) -> Sidecar:
        """Return the adjusted sidecar."""
        for resource in ("cpu", "memory"):
            request, limit = self._requests.get(resource, ""), self._limits.get(resource, "")
            reserved, most = _amount(request), _amount(limit)
            if reserved is not None and most is not None and reserved > most:
                self.problems.append(
                    f"annotations `{DOMAIN}{resource}-request` and `{DOMAIN}{resource}-limit` do not fit together: "
                    f"`{request}` is reserved, and `{limit}` the most"
                )
        if {"data", "data_volume"} <= self._fields.keys():
            self.problems.append(
                f"annotations `{DOMAIN}data-size` and `{DOMAIN}data-volume` do not fit together: a volume of the pod "
                "has its size"
            )
        resources = msgspec.structs.replace(self._sidecar.resources, requests=self._requests, limits=self._limits)
        try:
            return msgspec.structs.replace(self._sidecar, settings=self._values, resources=resources, **self._fields)
        except ValueError as error:
            self.problems.append(f"the annotations do not fit together: {error}")
            return self._sidecar

    def _apply_containers(self, _: str, value: str) -> str:
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
        wrong = next((name for name in names if _NAME.fullmatch(name) is None), None)
        if wrong is not None:
            return f"must be names of containers, separated by commas: `{_short(wrong)}` is invalid"
        self.containers = names
        return ""

    def _apply_order(self, _: str, value: str) -> str:
        self.order = value
        after, name = value[: len(AFTER)], value[len(AFTER) :]
        is_valid = value in {"first", "last"} or (after == AFTER and _NAME.fullmatch(name) is not None)
        return "" if is_valid else f"must be `first`, `last`, or `{AFTER}` and the name of an init container"

    def _apply_port(self, name: str, value: str) -> str:
        if _PORT.fullmatch(value) is None or not 1024 <= int(value) <= 65535:
            return "must be a port, 1024 to 65535"
        self._fields[name.replace("-", "_")] = int(value)
        return ""

    def _apply_path(self, _: str, value: str) -> str:
        if len(value) > _MAX_PATH or _PATH.fullmatch(value) is None:
            return "must be the path of a file in a folder below `/run`, such as `/run/plans/sidecar.sock`"
        self._fields["socket_path"] = value
        return ""

    def _apply_quantity(self, name: str, value: str) -> str:
        resource, _, which = name.partition("-")
        if resource == "cpu" and _CPU.fullmatch(value) is None:
            return "must be an amount of CPU, such as `100m` or `0.5`"
        if resource == "memory" and _BYTES.fullmatch(value) is None:
            return "must be an amount of memory, such as `256Mi`"
        if not _amount(value):
            return "must be more than 0"
        (self._requests if which == "request" else self._limits)[resource] = value
        return ""

    def _apply_size(self, _: str, value: str) -> str:
        if _BYTES.fullmatch(value) is None or not _amount(value):
            return "must be a size, such as `4Gi`"
        kind, source = next(iter(self._sidecar.data.items()), ("", None))
        if kind == "emptyDir" and isinstance(source, dict):
            self._fields["data"] = {"emptyDir": {**source, "sizeLimit": value}}
            return ""
        return "is for data in an `emptyDir`, and the operator chose another volume"

    def _apply_volume(self, _: str, value: str) -> str:
        if _NAME.fullmatch(value) is None:
            return "must be the name of a volume of the pod"
        self._fields["data_volume"] = value
        return ""

    def _apply_setting(self, name: str, value: str) -> str:
        setting = self._settings[name]
        try:
            for one in value.split(",") if setting.many else [value]:
                setting.kind.read(one)
        except ValueError as error:
            return str(error)
        if name == "startup-deadline":
            self._fields["startup_deadline"] = float(value)
        else:
            self._values[name] = value
        return ""


def _amount(quantity: str) -> Decimal | None:
    """Return a Kubernetes quantity as a number; `None` for a notation that is not supported here."""
    number = quantity.rstrip("mkKMGTi")
    try:
        return Decimal(number) * _SCALE[quantity[len(number) :]]
    except (ArithmeticError, KeyError):
        return None


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
