"""The endpoints of the drafted files of the users' own rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin import rule_files
from tiergate.admin.publications import check_pending_rules
from tiergate.control.api.request import Response, etag_text
from tiergate.control.api.responses import changing, expected_version
from tiergate.control.api.router import Endpoint
from tiergate.model import format_instant
from tiergate.permissions import Action, Resource

if TYPE_CHECKING:
    from tiergate.admin.publication_views import Members
    from tiergate.control.api.request import AdminRequest
    from tiergate.publish.publisher import Publisher
    from tiergate.store import WriteUnit
    from tiergate.store.policy_files import PolicyFile

_PATH: Final = "/v1/rules/{kind}/{name}"
_MAX_BODY: Final = 4 * 2**20


class _RuleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """Return the routes."""
    store = Resource.store()

    def check(request: AdminRequest) -> Response:  # noqa: ARG001
        """Report the problems that prevent publishing the drafted rules with all other pending edits."""
        return Response.json({"problems": check_pending_rules(publisher)})

    return [
        Endpoint("GET", "/v1/rules", Action.VIEW, list_files, store, paged=True),
        Endpoint("POST", "/v1/rules/check", Action.EDIT_RULES, check, store),
        Endpoint("GET", _PATH, Action.VIEW, get_file, store),
        Endpoint("PUT", _PATH, Action.EDIT_RULES, put_file, store, max_body=_MAX_BODY),
        Endpoint("DELETE", _PATH, Action.EDIT_RULES, changing(rule_files.delete_rule_file), store),
    ]


def list_files(request: AdminRequest) -> Response:
    """List the drafted files of the rules."""
    found = [_data(file) for file in request.read(rule_files.list_rule_files)]
    return Response.page_of(request, found, lambda it: f"{it['kind']}/{it['name']}")


def get_file(request: AdminRequest) -> Response:
    """Show a drafted file of the rules."""
    file = request.read(lambda unit: rule_files.get_rule_file(unit, *_path(request)))
    return Response.json({**_data(file), "text": file.text}, etag=file.etag)


def put_file(request: AdminRequest) -> Response:
    """Replace a drafted file of the rules, or create it."""
    text = request.decode(_RuleBody).text

    def work(unit: WriteUnit) -> Response:
        file, is_new = rule_files.put_rule_file(unit, *_path(request), text, expected_version(request))
        return Response.json({**_data(file), "text": text}, 201 if is_new else 200, etag=file.etag)

    return request.change(work)


def _path(request: AdminRequest) -> tuple[str, str]:
    return request.params["kind"], request.params["name"]


def _data(file: PolicyFile) -> Members:
    return {
        "kind": file.kind,
        "name": file.name,
        "etag": etag_text(file.etag),
        "updated_at": format_instant(file.updated_at),
    }
