"""The users' own rules over HTTP: files that are drafted here, and published with everything else.

A file that contradicts the others is kept and its problems are told, since it takes several files to mend some; none of
it has an effect before it is published, and what has problems cannot be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.control.api.publish_responses import problem_data
from tiergate.control.api.request import Answer, etag_text
from tiergate.control.api.router import Endpoint
from tiergate.errors import BodyError, BodyProblem, NotFoundError
from tiergate.model import format_instant
from tiergate.naming import ID_RULE, is_id
from tiergate.permissions import Action, Resource
from tiergate.publish.changeset import EditSelection
from tiergate.publish.publish_plans import plan_pending_edits
from tiergate.store.policy_files import RULE_KINDS, find_policy_file, policy_files, put_policy_file, remove_files

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.publish.publisher import Publisher
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.policy_files import PolicyFile

_PATH: Final = "/v1/rules/{kind}/{name}"
_MAX_BODY: Final = 4 * 2**20


class _RuleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """What there is about rules."""
    store = Resource.store()

    def check(request: AdminRequest) -> Answer:  # noqa: ARG001
        """Tell what stands against publishing the rules as they are drafted, with all that is pending."""
        preview = publisher.preview(plan_pending_edits(EditSelection(roles=False)))
        return Answer.json({"problems": [problem_data(problem) for problem in preview.problems]})

    return [
        Endpoint("GET", "/v1/rules", Action.VIEW, list_files, store),
        Endpoint("POST", "/v1/rules/check", Action.EDIT_RULES, check, store),
        Endpoint("GET", _PATH, Action.VIEW, show, store),
        Endpoint("PUT", _PATH, Action.EDIT_RULES, edit, store, max_body=_MAX_BODY),
        Endpoint("DELETE", _PATH, Action.EDIT_RULES, remove, store),
    ]


def list_files(request: AdminRequest) -> Answer:
    """List the files of the rules, as they are drafted."""
    files = request.read(lambda unit: policy_files(unit.session))
    return Answer.page([_data(file) for file in files if file.kind in RULE_KINDS], None)


def show(request: AdminRequest) -> Answer:
    """Show a file of the rules, as it is drafted."""
    file = request.read(lambda unit: _find(unit, request))
    return Answer.json({**_data(file), "text": file.text}, etag=file.etag)


def edit(request: AdminRequest) -> Answer:
    """Draft a file of the rules, new or known."""
    kind, name = _named(request)
    text = request.decode(_RuleBody).text
    if not is_id(name):
        raise BodyError([BodyProblem("", "bad-id", f"the name of a file of the rules {ID_RULE}")])
    if "\x00" in text:
        raise BodyError([BodyProblem("/text", "bad-character", "has a character that no text has")])

    def work(unit: WriteUnit) -> Answer:
        try:
            before = _find(unit, request)
        except NotFoundError:
            before = None
        request.check_etag("file of the rules", f"{kind}/{name}", 0 if before is None else before.etag)
        after = put_policy_file(unit, kind, name, text)
        if before is None or before.etag != after.etag:
            said = None if before is None else {"text": before.text}
            unit.audit("rules.drafted", "rules", after.key, before=said, after={"text": text})
        return Answer.json({**_data(after), "text": text}, 201 if before is None else 200, etag=after.etag)

    return request.change(work)


def remove(request: AdminRequest) -> Answer:
    """Remove a file of the rules from what is drafted."""

    def work(unit: WriteUnit) -> Answer:
        before = _find(unit, request)
        request.check_etag("file of the rules", before.key, before.etag)
        remove_files(unit.session, [(before.kind, before.name)])
        unit.audit("rules.removed", "rules", before.key, before={"text": before.text})
        return Answer.empty()

    return request.change(work)


def _named(request: AdminRequest) -> tuple[str, str]:
    kind, name = request.params["kind"], request.params["name"]
    if kind not in RULE_KINDS:
        raise NotFoundError("kind of rules", kind)
    return kind, name


def _find(unit: ReadUnit, request: AdminRequest) -> PolicyFile:
    kind, name = _named(request)
    return find_policy_file(unit.session, kind, name)


def _data(file: PolicyFile) -> dict[str, object]:
    return {
        "kind": file.kind,
        "name": file.name,
        "etag": etag_text(file.etag),
        "updated_at": format_instant(file.updated_at),
    }
