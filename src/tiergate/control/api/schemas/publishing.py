"""The schemas of publishing: publications, rollouts, suspensions for everybody, files, rules."""

from __future__ import annotations

from typing import Final

from tiergate.control.api.schemas.parts import (
    COUNT,
    ETAG,
    FLAG,
    TEXT,
    TEXTS,
    Schema,
    optional_object,
    ref,
    with_more,
)
from tiergate.impact.preview.subject_effects import Effect
from tiergate.wire.schemas import object_of

_AUDIENCE: Final[Schema] = {
    "anyOf": [
        {"enum": ["everybody", "new"]},
        {"type": "object", "properties": {"share": {"type": "number"}}, "required": ["share"]},
        {"type": "object", "properties": {"tag": ref("Id")}, "required": ["tag"]},
    ]
}
_PROBLEM: Final[Schema] = object_of({"file": TEXT, "line": COUNT, "column": COUNT, "code": TEXT, "detail": TEXT})
LOSS_TOKEN: Final[Schema] = {"type": "string", "pattern": "^loss-[1-9][0-9]*-[0-9a-f]{32}$"}
ACCEPTED_LOSS: Final[Schema] = {
    "anyOf": [LOSS_TOKEN, {"const": False}],
    "description": "The token of the loss that is meant, from a dry run or a rejection; no other loss is accepted.",
}
REVIEW_TAG: Final[Schema] = {
    "type": "string",
    "pattern": '^"[0-9]+-[0-9a-f]{32}"$',
    "description": "Names what would be published; with it as `If-Match`, that is published or nothing.",
}
_COMBINATION: Final[Schema] = object_of(
    {
        "code": {"enum": ["not-available", "missing-dependency", "excluded", "several-plans"]},
        "item": ref("Id"),
        "subscriptions": COUNT,
        "examples": {"type": "array", "items": object_of({"customer": ref("Id"), "subscription": ref("Id")})},
    },
    optional=("item", "examples"),
)
_EFFECTS: Final = {effect.value: COUNT for effect in Effect}
_OVERAGE: Final[Schema] = {
    "type": ["number", "string"],
    "description": "How much above the value a soft limit allows, or `unlimited`; left out: nothing.",
}
_ANSWERED: Final[Schema] = object_of(
    {"allowed": FLAG, "reason": TEXT, "value": {}, "overage": _OVERAGE}, optional=("overage",)
)
_ASKED: Final[Schema] = object_of(
    {
        "at": ref("Instant"),
        "user": ref("SubjectId"),
        "amount": {"type": "number"},
        "used": {"type": "number"},
        "user_used": {"type": "number"},
        "value": {"type": "number"},
        "level": TEXT,
        "total_used": {"type": "number", "description": "What everybody together has used then; left out: nothing."},
        "resets_at": ref("Instant") | {"description": "When usage resets then."},
        "status": TEXT | {"description": "The status of the feature then; left out: operational."},
        "before": object_of({"allowed": FLAG, "reason": TEXT}),
        "after": object_of({"allowed": FLAG, "reason": TEXT}),
    },
    optional=("user", "amount", "used", "user_used", "value", "level", "total_used", "resets_at", "status"),
    description="A check that a rule decides otherwise.",
)
_EXAMPLE: Final[Schema] = object_of(
    {
        "customer": ref("SubjectId"),
        "subscription": ref("SubjectId"),
        "feature": ref("Id"),
        "effect": {"enum": [effect.value for effect in Effect]},
        "since": ref("Instant"),
        "before": _ANSWERED,
        "after": _ANSWERED,
        "used": {"type": "number"},
        "above": FLAG,
        "shown_by": _ASKED,
    },
    optional=("subscription", "used", "above", "shown_by"),
)
IMPACT: Final[Schema] = object_of(
    {
        "examined": COUNT | {"description": "Customers that were checked: those that it can affect."},
        "customers": object_of({"touched": COUNT, "take": COUNT, "above": COUNT, **_EFFECTS}),
        "features": {
            "type": "array",
            "items": object_of(
                {
                    "feature": ref("Id"),
                    "customers": object_of(_EFFECTS),
                    "subscriptions": object_of(_EFFECTS),
                    "above": COUNT,
                    "examples": {"type": "array", "items": _EXAMPLE},
                },
                optional=("examples",),
            ),
        },
    },
    description="What it does to customers: `take` lose something or get less, themselves or by a subscription.",
)


def publishing_schemas(suspension: Schema) -> dict[str, Schema]:
    """Publications, rollouts, files."""
    launch = {"audience": _AUDIENCE, "from": ref("Instant")}
    note = {"note": TEXT | {"description": "Why, for readers of the list of publications."}}
    dry_run = {"dry_run": FLAG | {"description": "Say what would change, and change nothing."}}
    accept_loss = {"accept_loss": ACCEPTED_LOSS}
    narrow = {"narrow": FLAG | {"description": "Also if somebody then gets another version than before."}}
    change = object_of(
        {
            "kind": TEXT,
            "id": TEXT,
            "change": {"enum": ["added", "changed", "removed"]},
            "details": {
                "type": "array",
                "items": object_of({"path": TEXT, "before": {}, "after": {}}, optional=("before", "after")),
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
    files: Schema = {"type": "array", "items": object_of({"name": TEXT, "text": TEXT})}
    rules: Schema = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": TEXT}}
    rollout = {"version": {"type": "integer", "minimum": 1}, **launch}
    return {
        "Outcome": object_of(
            {
                "publication": COUNT,
                "revision": TEXT,
                "published": FLAG | {"description": "False: nothing is different, or it was not to be done."},
                **changes,
                "problems": {"type": "array", "items": _PROBLEM},
                "impact": ref("Impact"),
                "etag": REVIEW_TAG,
                "accept_loss": LOSS_TOKEN | {"description": "The token of what customers would lose."},
                "combinations": {
                    "type": "array",
                    "items": _COMBINATION,
                    "description": "What subscriptions hold, and nobody can come to hold any more.",
                },
                "discarded": TEXTS | {"description": "Whose pending edits are given up, such as `features/seats`."},
            },
            optional=("problems", "impact", "etag", "accept_loss", "discarded", "combinations"),
        ),
        "Impact": IMPACT,
        "Preview": optional_object(
            {"publish": ref("Publish"), "apply": ref("Application"), "at": ref("Instant")},
            description="What to look at: one of both, or all that is pending; from now on, or at an instant alone.",
        ),
        "ListedPublication": object_of(publication, optional=("rolled_back_to",)),
        "ShownPublication": object_of(publication | changes, optional=("rolled_back_to",)),
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
                **accept_loss,
            },
            description="What to publish; without any choice, all that is pending.",
        ),
        "Rollback": optional_object({"roles": FLAG, **note, **dry_run, **accept_loss}),
        "ItemRollouts": object_of(
            {
                "rollouts": {"type": "array", "items": ref("Rollout")},
                "versions": {"type": "array", "items": {"type": "integer"}},
            }
        ),
        "NewRollouts": object_of(
            {"rollouts": {"type": "array", "items": object_of(rollout, optional=tuple(launch))}}
            | narrow
            | accept_loss
            | note
            | dry_run,
            optional=("narrow", "accept_loss", "note", "dry_run"),
        ),
        "NewRollout": object_of(
            rollout | narrow | accept_loss | note | dry_run,
            optional=(*launch, *narrow, *accept_loss, *note, *dry_run),
        ),
        "Retirement": object_of(
            {
                "to": ref("Id") | {"description": "The plan that its holders get."},
                "at": {"anyOf": [{"const": "now"}, ref("Instant")], "description": "`now` if it is left out."},
                **dry_run,
                **accept_loss,
            },
            optional=("at", "dry_run", "accept_loss"),
        ),
        "Retired": object_of(
            {
                "item": ref("Id"),
                "to": ref("Id"),
                "at": ref("Instant"),
                "subscriptions": COUNT | {"description": "That have it, and can get the other plan."},
                "impact": ref("Impact"),
                "moved": COUNT | {"description": "Subscriptions that were moved now."},
                "left_count": COUNT | {"description": "Subscriptions that keep it."},
                "left": {
                    "type": "array",
                    "items": object_of(
                        {"customer": ref("SubjectId"), "subscription": ref("SubjectId"), "detail": TEXT}
                    ),
                    "description": "The first 100 of these, and why.",
                },
                "accept_loss": LOSS_TOKEN | {"description": "The token of what customers would lose."},
            },
            optional=("accept_loss",),
        ),
        "NewFeatureSuspension": optional_object(
            {"from": ref("Instant"), "until": ref("Instant"), "reason": TEXT, **accept_loss, **dry_run}
        ),
        "NumberedSuspension": with_more(suspension, {"number": {"type": "integer", "minimum": 1}}),
        "Application": object_of(
            {
                "catalog": {"anyOf": [files, {"type": "object"}], "description": "A catalog file, or several."},
                "rules": rules,
                "prune": FLAG | {"description": "Remove what the files do not name."},
                **dry_run,
                **note,
                **accept_loss,
            },
            optional=("rules", "prune", "dry_run", "note", "accept_loss"),
        ),
        "Export": object_of(
            {"publication": COUNT, "revision": TEXT, "catalog": files, "rules": rules}, optional=("rules",)
        ),
    }


def rule_schemas() -> dict[str, Schema]:
    """Files of the users' own rules."""
    file = {"kind": TEXT, "name": TEXT, "etag": ETAG, "updated_at": ref("Instant")}
    return {
        "RuleFile": object_of(file),
        "ShownRuleFile": object_of(file | {"text": TEXT}),
        "TextBody": object_of({"text": TEXT}),
        "RulesCheck": object_of({"problems": {"type": "array", "items": _PROBLEM}}),
    }
