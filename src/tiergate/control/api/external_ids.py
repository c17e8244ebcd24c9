"""Resolve external ids in requests: `ext:<system>:<id>` in place of the id of a customer or a subscription.

They are resolved once, before permissions are checked: handlers and roles see the canonical id. An unknown external id
stays as it is until the permissions are known, so that a denial reveals nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin.json_members import members
from tiergate.errors import NotFoundError, ParameterError
from tiergate.model import SubjectType
from tiergate.naming import EXTERNAL_PREFIX, is_id, normalize_subject_id
from tiergate.store.external_ids import by_external_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tiergate.control.api.request import AdminRequest

_KINDS: Final[dict[str, SubjectType]] = {kind.value: kind for kind in (SubjectType.CUSTOMER, SubjectType.SUBSCRIPTION)}

_read_text = msgspec.json.Decoder(str).decode


def external_id_parameter(request: AdminRequest) -> tuple[str, str] | None:
    """Return system and id of the parameter `external_id`; the id is '' if it names a system alone.

    Raises:
        ParameterError: it names no system.
    """
    text = request.query.get("external_id")
    if text is None:
        return None
    system, _, id_ = text.removeprefix(EXTERNAL_PREFIX).partition(":")
    if not is_id(system):
        raise ParameterError("external_id", f"must be `<system>:<id>` or `<system>`, not `{text[:300]}`")
    return system, id_


def resolve_external_ids(request: AdminRequest, names: Iterable[str]) -> NotFoundError | None:
    """Replace external ids of a request by canonical ones; return the error to raise once the permissions are known.

    `names`: the members of the query and of the body to look at, besides the path: `customer`, `subscription`.
    """
    missing: list[NotFoundError] = []

    def canonical(kind: str, text: str) -> str:
        if not text.startswith(EXTERNAL_PREFIX):
            return text
        system, _, id_ = normalize_subject_id(text.removeprefix(EXTERNAL_PREFIX)).partition(":")
        known_id = request.read(lambda unit: by_external_id(unit.session, _KINDS[kind], system, id_)) if id_ else None
        if known_id is None:
            missing.append(NotFoundError(kind, text[:300]))
            return text
        return known_id

    request.params = {key: canonical(key, text) if key in _KINDS else text for key, text in request.params.items()}
    external = [name for name in names if request.query.get(name, "").startswith(EXTERNAL_PREFIX)]
    if external:
        request.query = {**request.query, **{name: canonical(name, request.query[name]) for name in external}}
    if f'"{EXTERNAL_PREFIX}'.encode() in request.body:
        _resolve_body(request, names, canonical)
    return missing[0] if missing else None


def _resolve_body(request: AdminRequest, names: Iterable[str], canonical: Callable[[str, str], str]) -> None:
    entries, changed = members(request.body), False
    for name in names:
        try:
            text = _read_text(entries[name])
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
            continue
        if text.startswith(EXTERNAL_PREFIX):
            entries[name] = msgspec.Raw(msgspec.json.encode(canonical(name, text)))
            changed = True
    if changed:
        request.body = msgspec.json.encode(entries)
