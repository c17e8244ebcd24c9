"""Writes the reference of the administration API from its routes and their shapes."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from tiergate.control.api.route_schemas import SHAPES, Shape
from tiergate.control.api.router import Open

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.control.api.router import Endpoint

_OPEN = {Open.ANYBODY: "anybody", Open.AUTHENTICATED: "every caller"}


def administration_page(endpoints: Sequence[Endpoint]) -> str:
    """The page, as docs/reference/administration-api.md should be."""
    parts = [HEAD]
    for group, found in groupby(sorted(endpoints, key=_place), key=_group):
        parts += [f"### {group}", "", "| | for | takes, gives | |", "|---|---|---|---|"]
        parts += [_row(one) for one in found]
        parts.append("")
    return "\n".join(parts).rstrip("\n") + "\n"


def _group(one: Endpoint) -> str:
    return one.path.removeprefix("/v1").strip("/").split("/")[0]


def _place(one: Endpoint) -> tuple[str, str, int]:
    return _group(one), one.path, ("GET", "POST", "PUT", "PATCH", "DELETE").index(one.method)


def _row(one: Endpoint) -> str:
    shape = SHAPES.get(f"{one.method} {one.path}", Shape())
    action = _OPEN[one.action] if isinstance(one.action, Open) else f"`{one.action.value}`"
    takes = f"{shape.takes} → " if shape.takes else ""
    gives = shape.gives or ("nothing" if shape.status == 204 else f"`{shape.media}`")
    query = "".join(f", `{name}`" for name in one.query)
    asked = f"{one.method} {one.path}"
    summary = re.sub(r"\|", r"\\|", one.summary)
    return f"| `{asked}`{query} | {action} | {takes}{'page of ' if shape.page else ''}{gives} | {summary} |"


HEAD = """\
# The administration API

<!-- Generated from the routes in src/tiergate/control by `make docs`. -->

The control plane listens on `127.0.0.1:8440`. It serves its whole description, with every schema that is named below,
as OpenAPI 3.1 at `/openapi.json`. Everything that is not a success is a [problem document](errors.md).

## What holds everywhere

- **Who may ask**: `Authorization: Bearer` with an API key or a token ([callers](callers.md)). Each route is for one
  action of the [table of roles](roles.md); the table below says for which.
- **Bodies are the files' forms**: a feature, item, customer, subscription, override or suspension in JSON is exactly an
  entry of the [catalog file](catalog-file.md) or [subjects file](subjects-file.md). An answer is the same, with `etag`,
  `created_at` and `updated_at` beside it. Numbers are exact both ways.
- **Ids in paths** are percent-encoded. Ids of customers and subscriptions may be [any text](subjects-file.md#ids): of
  `tenant/42` the path is `/v1/customers/tenant%2F42`, of a single `.` it is `%2E`. The header `Location`
  of an answer is encoded already.
- **All that is wrong is said at once**: 422, with `errors`, each with a JSON Pointer (RFC 6901), a code and a sentence.
- **Edits**: `PATCH` takes a JSON Merge Patch (RFC 7396), as `application/merge-patch+json` or `application/json`:
  what it does not name stays, `null` takes away, a list is replaced as a whole.
- **Lost races**: a thing's answer has an `ETag`. A write with `If-Match` is 412 where somebody else was first. A read
  with `If-None-Match` is 304 where nothing changed.
- **Sent again**: `POST` honours `Idempotency-Key`: the same request with the same key is answered as before, and done
  once. Another request with the key is 422.
- **External ids**: wherever a path has the id of a customer or a subscription, and where the query or the body names
  one, `ext:<system>:<id>` stands in its place, such as `/v1/customers/ext:stripe:cus_123`, percent-encoded where it
  must be. Answers show the canonical id. An external id that nobody has is 404.
- **Losses**: a change of one customer's overrides, items, quantities, item dates, pins or tags that takes something,
  now or at any later instant, is 409 `customers-would-lose`. It names each feature, from what to what, and since when.
  Its member `accept_loss` is a token of exactly this loss: the same request with `?accept_loss=<token>` is carried out,
  as long as the loss is the same. A caller without `editEntitlement` gets 403 instead, whatever it accepts. The life of
  a subscription (its steps, dates, billing, change of plan, deletion), suspensions and imports are not weighed: they
  end what is no longer paid, and say what is so.
- **Why**: `Tiergate-Reason` is written to the [audit log](audit-log.md) with each change.
- **Lists**: `limit` (50, at most 500) and `cursor`; the answer is `{"items": […], "next": "…"}`, and `next` is null on
  the last page. Pages are stable while entries come and go. Parameters beside these are named below.

## The working catalog

Features, what is said of items, and items' drafts are edited without any effect until they are published. Versions and
rollouts come about by publishing, and are not edited with an item. An edit that would pull away what is sold already is
409, and says who holds what:

| code | |
|---|---|
| `level-mapped`, `level-order` | a level that a reachable version, a draft or an override gives stays, in its order |
| `value-excluded` | a minimum or maximum of a range that would exclude what is given |
| `scale-mapped` | the scale stays while any value is given |
| `status-move` | a feature goes from `draft` to `active` to `archived` and back to `active` |
| `feature-active`, `feature-mapped` | only what is not active and not in use is deleted |
| `feature-archived` | an archived feature takes no new entitlements |
| `kind-published` | an item that was published keeps its kind |
| `item-held` | an item that others hold does not become private to one customer |
| `item-published` | an item that was published does not become a draft again: archive it |
| `item-archived`, `item-draft` | an item that is archived or a draft is given to no subscription that has it not |
| `item-in-use` | an item that a subscription holds or another item names is not deleted |
| `already-exists` | the id is taken |
| `has-subscriptions` | a customer who has subscriptions is not deleted |
| `ambiguous-item` | a subscription holds the item in several entries: change its list of items instead |
| `not-live`, `not-definable` | no plan is made of a subscription that gives nothing now, or what no plan may give |
| `published-meanwhile` | another catalog was published during an import: send the file again, what is there stays |
| `step-not-possible` | a subscription is not where this step begins; the sentence says what it is, and what it takes |
| `no-plan`, `ambiguous-plan`, `no-term` | a change of plan finds no plan to change, or several, or no term |
| `rollout-narrowed` | some would get a lower version, or later: `narrow` says that it is meant |
| `rollout-without-effect` | everybody in the audience of a new rollout has its version already |
| `type-changed` | a feature that was published keeps its type for ever, also after it was deleted |
| `not-published` | what was never published has nothing to go back to, and nothing to suspend |
| `customers-would-lose` | somebody would lose something, as `impact` says; `accept_loss` takes the token of this loss |
| `override-without-effect` | the override can do nothing; the detail names what stands in its way |
| `external-id-taken` | another customer, or subscription, has this external id of this system |

The type of a feature never changes. A version is reachable while a rollout names it, drafted or in force, or a
subscription is pinned to it. A draft that is edited in part begins with what the item gives to whoever comes now,
shares and tags apart; `draft/diff`, `has_draft`, `GET /v1/pending` and publishing compare it with the same. `DELETE
…/draft` discards what is pending of a feature or an item, a deletion included; metadata and an item's status stay.

## Publishing

A dry run (`"dry_run": true`) and `GET /v1/pending` answer with an entity tag, in `ETag` and `etag`. It names what would
be published, on top of which publication. Publishing, applying, rolling back, rollouts and suspensions with this tag as
`If-Match` do exactly that, or are 412 with the present tag. `If-Match` also takes the number of the publication that
must be in force (rollouts and suspensions: the entity tag of the item or the feature), or the revision that must come
of it. Any other tag is 412.

Where customers would lose something, the dry run and the 409 have `accept_loss`, the token of exactly this loss. The
same request with this token is carried out while the loss is the same; a larger, a smaller or another one is 409 with
its own token. `true` is 422. A rollback and a suspension need no token; with one they are held to it.

| member of an answer | |
|---|---|
| `combinations` | what subscriptions hold and nobody can come to hold any more, with how many and which |
| `discarded` | pending edits that a rollback gives up, since they could not be published any more |

A draft that is like a past version rolls that version out again. `PUT …/rollouts` with `[]` gives the item to nobody,
as in files.

## Subscriptions

An answer says `state`: what the subscription is now, by its status and dates. It is `live`, `scheduled`, `paused`,
`overdue` or `ended`, and counts where it is `live`. A list takes several of `state` and of `status`, with commas. A
word that is none is 400.

What billing owns (status, dates, items, term) and what people own (overrides, suspensions, pins, metadata, external
ids; of a customer everything) are written apart. `PUT …/billing` writes the one and leaves the other. `PUT`, `PATCH`
and imports leave what people own where they do not name it; an empty value takes it away. Pins stay with items that
stay.

A write of a subject with `as_of`, an instant, is applied in that order: one that is elder than what is known is
answered 200 with `"applied": false`, and changes nothing. Bodies say it as a member, `DELETE` in the query. The
[how-to](../how-to/connect-billing.md) says the rest. In 422:

| code | |
|---|---|
| `impossible-date` | a date that cannot mean anything here: in the past, or beyond what the subscription has left |
| `not-edited-here` | what people own, in a body that says what billing owns |
| `as-of-ahead` | `as_of` is more than five minutes ahead of the store's clock |

A change is refused for what it makes worse, never for what the catalog made impossible of what is held already.

## Routes

"""
