"""Addresses by external ids: `ext:<system>:<id>` stands in place of the id of a customer or a subscription.

Resolved once, before anything is asked or allowed: whoever handles the request, and the roles, see the canonical id. An
external id that nobody has stays as it is until the caller's rights are known, so that a denial tells nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.errors import NotFoundError, RequestError
from tiergate.model import SubjectType
from tiergate.naming import EXTERNAL_PREFIX, is_id, normalize_subject_id
from tiergate.store.external_ids import by_external_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tiergate.control.api.request import AdminRequest

_KINDS: Final[dict[str, SubjectType]] = {kind.value: kind for kind in (SubjectType.CUSTOMER, SubjectType.SUBSCRIPTION)}

_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_text = msgspec.json.Decoder(str).decode


def external_id_asked(request: AdminRequest) -> tuple[str, str] | None:
    """The external id that a list is searched by, `external_id=<system>:<id>`; of a system alone, the id is empty.

    Raises:
        RequestError: 400, it names no system.
    """
    text = request.query.get("external_id")
    if text is None:
        return None
    system, value = _parted(text.removeprefix(EXTERNAL_PREFIX))
    if not is_id(system):
        detail = f"`external_id` must be `<system>:<id>` or `<system>`, not `{text[:300]}`"
        raise RequestError(400, "invalid request", detail)
    return system, value


def _parted(text: str) -> tuple[str, str]:
    system, _, value = text.partition(":")
    return system, value


def resolve_external_ids(request: AdminRequest, members: Iterable[str]) -> NotFoundError | None:
    """Put canonical ids in the place of external ones, and return what is raised once the caller's rights are known.

    Looked at are the path, and those `members` of the query and of the body's object: `customer`, `subscription`.
    """
    missing: list[NotFoundError] = []

    def canonical(kind: str, text: str) -> str:
        if not text.startswith(EXTERNAL_PREFIX):
            return text
        system, value = _parted(normalize_subject_id(text.removeprefix(EXTERNAL_PREFIX)))
        found = request.read(lambda unit: by_external_id(unit.session, _KINDS[kind], system, value)) if value else None
        if found is None:
            missing.append(NotFoundError(kind, text[:300]))
            return text
        return found

    request.params = {key: canonical(key, text) if key in _KINDS else text for key, text in request.params.items()}
    named = [key for key in members if request.query.get(key, "").startswith(EXTERNAL_PREFIX)]
    if named:
        request.query = {**request.query, **{key: canonical(key, request.query[key]) for key in named}}
    if f'"{EXTERNAL_PREFIX}'.encode() in request.body:
        _resolve_body(request, members, canonical)
    return missing[0] if missing else None


def _resolve_body(request: AdminRequest, members: Iterable[str], canonical: Callable[[str, str], str]) -> None:
    try:
        entries = _read_object(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # the handler says what is wrong with it
    changed = False
    for key in members:
        try:
            text = _read_text(entries[key])
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
            continue
        if text.startswith(EXTERNAL_PREFIX):
            entries[key] = msgspec.Raw(msgspec.json.encode(canonical(key, text)))
            changed = True
    if changed:
        request.body = msgspec.json.encode(entries)
