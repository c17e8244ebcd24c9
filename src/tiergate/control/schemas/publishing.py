"""The schemas of publishing: publications, rollouts, suspensions for everybody, files, rules."""

from __future__ import annotations

from typing import Final

from tiergate.control.schemas.parts import (
    COUNT,
    ETAG,
    FLAG,
    TEXT,
    TEXTS,
    Schema,
    closed,
    optional_object,
    ref,
    with_more,
)

__all__ = ["publishing_schemas", "rule_schemas"]

_AUDIENCE: Final[Schema] = {
    "anyOf": [
        {"enum": ["everybody", "new"]},
        {"type": "object", "properties": {"share": {"type": "number"}}, "required": ["share"]},
        {"type": "object", "properties": {"tag": ref("Id")}, "required": ["tag"]},
    ]
}
_PLACED: Final[Schema] = {
    "type": "object",
    "properties": {"file": TEXT, "line": COUNT, "column": COUNT, "code": TEXT, "detail": TEXT},
    "required": ["file", "line", "column", "code", "detail"],
    "additionalProperties": False,
}


def publishing_schemas(suspension: Schema) -> dict[str, Schema]:
    """Publications, rollouts, files."""
    launch = {"audience": _AUDIENCE, "from": ref("Instant")}
    note = {"note": TEXT | {"description": "Why, for whoever reads the list of publications."}}
    dry_run = {"dry_run": FLAG | {"description": "Say what would change, and change nothing."}}
    narrow = {"narrow": FLAG | {"description": "Also if somebody then gets another version than before."}}
    change = closed(
        {
            "kind": TEXT,
            "id": TEXT,
            "change": {"enum": ["added", "changed", "removed"]},
            "details": {
                "type": "array",
                "items": closed({"path": TEXT, "before": {}, "after": {}}, optional=("before", "after")),
            },
        }
    )
    changes: Schema = {"changes": {"type": "array", "items": change}}
    publication: Schema = {
        "publication": COUNT | {"description": "Its sequence."},
        "revision": TEXT,
        "position": COUNT | {"description": "In the feed."},
        "issued_at": ref("Instant"),
        "author": TEXT,
        **note,
        "rolled_back_to": {"type": "integer"},
    }
    files: Schema = {"type": "array", "items": closed({"name": TEXT, "text": TEXT})}
    rules: Schema = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": TEXT}}
    rollout = {"version": {"type": "integer", "minimum": 1}, **launch}
    return {
        "Outcome": closed(
            {
                "publication": COUNT,
                "revision": TEXT,
                "published": FLAG | {"description": "False: nothing is different, or it was not to be done."},
                **changes,
                "problems": {"type": "array", "items": _PLACED},
            },
            optional=("problems",),
        ),
        "Publication": closed(publication, optional=("rolled_back_to",)),
        "ShownPublication": closed(publication | changes, optional=("rolled_back_to",)),
        "Publish": optional_object(
            {
                "features": TEXTS,
                "items": TEXTS,
                "rules": TEXTS,
                "roles": FLAG,
                "rollout": optional_object(launch),
                "rollouts": {"type": "object", "additionalProperties": optional_object(launch)},
                **note,
                **dry_run,
            },
            description="What to publish; without any choice, all that is pending.",
        ),
        "Rollback": optional_object({"roles": FLAG, **note, **dry_run}),
        "Rollouts": closed(
            {
                "rollouts": {"type": "array", "items": ref("Rollout")},
                "versions": {"type": "array", "items": {"type": "integer"}},
            }
        ),
        "NewRollouts": closed(
            {"rollouts": {"type": "array", "items": closed(rollout, optional=tuple(launch))}, **narrow, **note},
            optional=("narrow", "note"),
        ),
        "NewRollout": closed(rollout | narrow | note, optional=(*launch, "narrow", "note")),
        "NumberedSuspension": with_more(suspension, {"number": {"type": "integer", "minimum": 1}}),
        "Application": closed(
            {
                "catalog": {"anyOf": [files, {"type": "object"}], "description": "A catalog file, or several."},
                "rules": rules,
                "prune": FLAG | {"description": "Remove what the files do not name."},
                **dry_run,
                **note,
            },
            optional=("rules", "prune", "dry_run", "note"),
        ),
        "Export": closed(
            {"publication": COUNT, "revision": TEXT, "catalog": files, "rules": rules}, optional=("rules",)
        ),
    }


def rule_schemas() -> dict[str, Schema]:
    """Files of the users' own rules."""
    file = {"kind": TEXT, "name": TEXT, "etag": ETAG, "updated_at": ref("Instant")}
    return {
        "RuleFile": closed(file),
        "ShownRuleFile": closed(file | {"text": TEXT}),
        "Text": closed({"text": TEXT}),
        "RulesCheck": closed({"problems": {"type": "array", "items": _PLACED}}),
    }
