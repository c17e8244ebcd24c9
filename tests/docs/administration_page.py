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

The control plane listens on `127.0.0.1:8440`. It serves its whole description, with every schema below, as OpenAPI 3.1
at `/openapi.json`. Every error is a [problem document](errors.md).

## Common to all routes

- **Authorization**: `Authorization: Bearer` with an API key or a token ([callers](callers.md)). Each route needs one
  action of the [table of roles](roles.md); the tables below list them.
- **Bodies are the files' forms**: a feature, item, customer, subscription, override or suspension in JSON is exactly an
  entry of the [catalog file](catalog-file.md) or [subjects file](subjects-file.md). A response has the same form, and
  also `etag`, `created_at` and `updated_at`. Numbers are exact both ways.
- **Ids in paths** are percent-encoded. Ids of customers and subscriptions may be [any text](subjects-file.md#ids): of
  `tenant/42` the path is `/v1/customers/tenant%2F42`, of a single `.` it is `%2E`. The header `Location` of a response
  is already encoded.
- **Problems of a body** are reported all at once: 422, with `errors`, each with a JSON Pointer (RFC 6901), a code and a
  sentence.
- **Edits**: `PATCH` accepts a JSON Merge Patch (RFC 7396), as `application/merge-patch+json` or `application/json`:
  members that it does not name stay, `null` removes a member, a list is replaced as a whole.
- **Lost races**: the response for a resource has an `ETag`. A write with `If-Match` returns 412 if somebody else was
  first. A read with `If-None-Match` returns 304 if nothing changed.
- **Repeated requests**: `POST` supports `Idempotency-Key`: the same request with the same key is carried out once, and
  returns the same response. Another request with the key returns 422.
- **External ids**: in a path, a query or a body, you can replace the id of a customer or a subscription by
  `ext:<system>:<id>`, such as `/v1/customers/ext:stripe:cus_123`, percent-encoded if necessary. Responses contain the
  canonical id. An unknown external id returns 404.
- **Losses**: a change of one customer's overrides, items, quantities, item dates, pins or tags that takes something,
  now or at any later instant, returns 409 `customers-would-lose`. It lists each feature, the values before and after,
  and the instant. Its member `accept_loss` is a token of exactly this loss: the same request with
  `?accept_loss=<token>` is carried out, as long as the loss is the same. A caller without `editEntitlement` gets 403
  instead, with or without a token. The life of a subscription (its steps, dates, billing, change of plan, deletion),
  suspensions and imports are not checked for losses: they end unpaid entitlements, and report the current state.
- **Reasons**: `Tiergate-Reason` is written to the [audit log](audit-log.md) with each change.
- **Lists**: `limit` (50, at most 500) and `cursor`; the response is `{"items": […], "next": "…"}`, and `next` is null
  on the last page. Pages are stable while entries come and go. The tables below list further parameters; an unknown one
  returns 400. `tag`, `type`, `kind`, `status`, `state` and `action` take several values, with commas or repeated.
- **Search**: `text` is in an id, a name or another text (description, tag, attribute, metadata, external id), on every
  database alike. Case, width and spacing do not matter, nor do accents of Latin, Greek and Cyrillic letters and the
  vowel signs of Hebrew and Arabic: `munchen` finds München, and `MÜNCHEN` finds Munchen. It has at most 200 characters.
- **Lists across the store**: `GET /v1/entitlements` lists which item gives what of which feature, to new customers, in
  drafts and in other versions in use; by `feature` it answers which items give one, by `item` what an item gives.
  `GET /v1/endings` lists what ends by the clock, the earliest first: trials, grace, pauses, subscriptions, items,
  overrides, suspensions and grants; `?type=trial&until=…` are the trials that run out until then. Each end is listed as
  it is stored, also if something else ends before.
- **Clients**: [generate one](../how-to/generate-a-client.md) from the document, in Python or TypeScript.

## The working catalog

Edits of features, items and items' drafts have no effect until they are published. Publishing creates versions and
rollouts; you cannot edit them with an item. An edit that would remove something that customers have returns 409, and
lists who has what:

| code | rule |
|---|---|
| `level-mapped`, `level-order` | a level that a reachable version, a draft or an override gives stays, in its order |
| `value-excluded` | the minimum and maximum of a range include all given values |
| `scale-mapped` | the scale stays while any value is given |
| `limit-mapped` | a feature stays metered while an item, a draft or an override gives it a `limit` of its own |
| `source-mapped` | a feature that others draw on stays a metered quantity of its scale |
| `status-move` | a feature goes from `draft` to `active` to `archived` and back to `active` |
| `feature-active`, `feature-mapped` | only what is not active and that nothing uses, as open reports do, is deleted |
| `feature-archived` | an archived feature takes no new entitlements |
| `kind-published` | a published item keeps its kind |
| `item-held` | an item that others have cannot become private to one customer |
| `item-published` | a published item cannot become a draft again: archive it |
| `item-archived`, `item-draft` | no new subscription can get an item that is archived or a draft |
| `item-in-use` | an item that a subscription has or another item names cannot be deleted |
| `already-exists` | the id is taken |
| `last-admin-key` | the last key of an admin without limits cannot revoke itself |
| `has-subscriptions` | a customer who has subscriptions cannot be deleted |
| `ambiguous-item` | a subscription has the item in several entries: change its list of items instead |
| `not-live`, `not-definable` | a subscription that gives nothing now, or values that no plan may give, cannot \
become a plan |
| `published-meanwhile` | another catalog was published during an import: send the file again, the imported part stays |
| `step-not-possible` | the step is not possible in the subscription's state; the sentence names the state and the \
requirement |
| `no-plan`, `ambiguous-plan`, `no-term` | a change of plan needs one plan to change, and a term |
| `rollout-narrowed` | some customers would get a lower version, or later: confirm with `narrow` |
| `rollout-without-effect` | everybody in the audience of a new rollout has its version already |
| `type-changed` | a published feature keeps its type for ever, also after its deletion |
| `not-published` | a resource that was never published cannot be rolled back or suspended |
| `customers-would-lose` | customers would lose something, listed in `impact`; accept it with its token in \
`accept_loss` |
| `override-without-effect` | the override has no effect; the detail names the cause |
| `external-id-taken` | another customer, or subscription, has this external id of this system |
| `too-many-reports` | a feature has at most 100 reports on its status that are open or begin later |
| `not-begun` | a report ends after its start: delete one that was never true |
| `measured` | of what services report, only the notes can be changed |
| `too-many-monitors` | a store has at most 1,000 monitors |

The type of a feature never changes. A version is reachable while a drafted or active rollout names it, or a
subscription is pinned to it. A draft that is edited in part begins with the version that new customers get now,
without shares and tags; `draft/diff`, `has_draft`, `GET /v1/pending` and publishing compare it with the same version.
`DELETE …/draft` discards the pending edits of a feature or an item, including a deletion; metadata and an item's
status stay.

## Publishing

The response of a dry run (`"dry_run": true`) and of `GET /v1/pending` has an entity tag, in `ETag` and `etag`. It
identifies the changes and the publication that they are based on. Publishing, applying, rolling back, rollouts and
suspensions with this tag as `If-Match` do exactly that, or return 412 with the current tag. `If-Match` also accepts the
number of the publication that must be active (rollouts and suspensions: the entity tag of the item or the feature), or
the revision that must result. Any other tag returns 412.

If customers would lose something, the dry run and the 409 have `accept_loss`, the token of exactly this loss. The same
request with this token is carried out while the loss is the same; a larger, a smaller or another loss returns 409 with
its own token. `true` returns 422. A rollback and a suspension need no token; with one, it must match.

| member of a response | meaning |
|---|---|
| `combinations` | combinations of items that subscriptions have and nobody can get any more, with their number and \
names |
| `discarded` | pending edits that a rollback discards, because they could not be published any more |

A draft that equals a past version rolls that version out again. `PUT …/rollouts` with `[]` gives the item to nobody, as
in files.

## Subscriptions

A response contains `state`: the current state of the subscription, by its status and dates. It is `live`,
`scheduled`, `paused`, `overdue` or `ended`; only a `live` subscription counts. A list accepts several of `state` and
of `status`, with commas. An unknown word returns 400.

Billing owns status, dates, items and term. People own overrides, suspensions, pins, metadata and external ids, and
everything of a customer. The two parts are written separately. `PUT …/billing` writes the part of billing and does not
change the other. `PUT`, `PATCH` and imports keep members of people that they do not name; an empty value removes them.
Pins stay with items that stay.

Writes of a subject with `as_of`, an instant, are applied in that order: a write that is older than the known state
returns 200 with `"applied": false`, and changes nothing. In bodies it is a member, for `DELETE` it is in the query. The
[how-to](../how-to/connect-billing.md) has the details. Codes of 422:

| code | problem |
|---|---|
| `impossible-date` | an impossible date: in the past, or beyond the rest of the subscription |
| `not-edited-here` | a member that people own, in a body of billing |
| `as-of-ahead` | `as_of` is more than five minutes ahead of the store's clock |

A change is rejected for problems that it adds, never for existing items that a change of the catalog made impossible.

## Usage

Usage after the fact, corrections and grants are told in [count on the control
plane](../how-to/count-on-the-control-plane.md). The idempotency keys of `POST /v1/usage` are those of the sidecars: a
key counts once here and there, is kept for 24 hours, and with other content returns 409.

| code | problem |
|---|---|
| `usage-too-late` | the window of the usage ended longer ago than the feature's `late`; 422 |
| `usage-in-the-future` | the usage is of an instant more than a minute ahead; 422 |
| `usage-too-large` | so much cannot be counted: at most 10^18 units at once; 422 |
| `idempotency-key-reused` | the key was used for a record with other content; 409 |
| `usage-below-zero` | less was used than a correction takes back; 409 |
| `lease-not-expired` | a lease that would be written off has not expired; 409 |
| `windows-moving` | the windows of the usage have changed too often meanwhile: repeat it; 409 or 503 |
| `too-many-grants` | the customer has 200 grants for the feature that are neither used up nor ended; 409 |
| `rolled-over` | what rolled over from the window before cannot be changed; 409 |

## What is so on purpose

- **Answers leave out defaults**, as files do: a body, an answer and an entry of a file have one form, and can be
  compared. The document names each default; defaults are part of the format and do not change.
- **A level is its label.** A level that is in use keeps it, because services ask by it. To rename one for people,
  change the feature's description, or add a level beside it and move the plans.
- **Exceptions are of customers and subscriptions**, not of single users: users are not stored. `caps.per_user` limits
  each user, and a rule can tell users apart.
- **The statuses of `DELETE`** say what is there afterwards: 204 nothing, 200 a thing that remains, such as a revoked
  key or a subscription without an item, 201 a new publication, as after each change of what is published.
- **Suspensions have numbers in a feature**, because it may have several; a subject's are resumed by feature, all at
  once.
- **Features and items are created or patched.** To put a whole catalog, whatever is there, apply a file.
- **Entitlements of a subject are one answer**, by one publication at one instant; it has no pages.
- **Problems of publishing name a `file`** such as `features/seats`, with line 0: the same catalog may come from files.
- **There is no import of CSV, and no change of all that a filter finds.** `POST /v1/import/subjects` takes any number
  of customers, and a client can walk a list; both tell of each customer what went wrong.
- **Failed logins have no limit**: keys have 256 random bits, so that guessing one is hopeless, and a limit by address
  would lock out everybody behind a proxy.

## Routes

"""
