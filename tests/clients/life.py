"""The life of a feature, a plan, a customer and a subscription, by the client that openapi-python-client generates.

Runs with the generated package `tiergate_admin` on the path, against the control plane at `TIERGATE_URL`, with the key
in `TIERGATE_KEY`. Type-checked, too: what the document leaves open would not compile.
"""

from __future__ import annotations

import datetime as dt
import os
from http import HTTPStatus
from typing import TypeVar

from tiergate_admin import AuthenticatedClient
from tiergate_admin.api.customers import (
    create_customer,
    create_customer_override,
    delete_customer,
    get_customer,
    get_customer_entitlements,
    list_customers,
    update_customer,
)
from tiergate_admin.api.explain import explain
from tiergate_admin.api.export import export_subjects
from tiergate_admin.api.features import archive_feature, create_feature, get_feature, list_features, update_feature
from tiergate_admin.api.items import archive_item, create_item, get_item, list_items, update_item, update_item_draft
from tiergate_admin.api.publish import publish
from tiergate_admin.api.subscriptions import (
    add_subscription_item,
    cancel_subscription,
    change_subscription_plan,
    create_subscription,
    delete_subscription,
    get_subscription,
    list_subscriptions,
    pause_subscription,
    resume_subscription,
    start_subscription_trial,
    update_subscription,
)
from tiergate_admin.models import (
    AddedItem,
    CancelStep,
    CatalogStatus,
    CheckAt,
    CustomerEdit,
    DraftEdit,
    EntitlementsEdit,
    Feature,
    FeatureEdit,
    FeatureType,
    HeldItem,
    ItemEdit,
    ItemKind,
    NewCustomer,
    NewItem,
    NewOverride,
    NewSubscription,
    PauseStep,
    PlanChange,
    PlanChangeAtType0,
    Problem,
    Publish,
    ResumeStep,
    SubscriptionEdit,
    SubscriptionState,
    SubscriptionStatus,
    TrialStep,
)
from tiergate_admin.models.entitlements import Entitlements
from tiergate_admin.types import Response, Unset

T = TypeVar("T")

client = AuthenticatedClient(base_url=os.environ["TIERGATE_URL"], token=os.environ["TIERGATE_KEY"])
NOW = dt.datetime.now(dt.UTC)


def good(answer: T | Problem | None) -> T:
    """The answer, if it is no problem."""
    assert answer is not None
    assert not isinstance(answer, Problem), answer
    return answer


def entitlements(**values: bool | float | str) -> Entitlements:
    """What an item gives."""
    given = Entitlements()
    given.additional_properties.update(values)
    return given


def held(subject: str) -> dict[str, bool]:
    """What a customer is entitled to."""
    listed = good(get_customer_entitlements.sync(subject, client=client))
    return {entry.feature: entry.allowed for entry in listed.entitlements}


# ── A feature and plans ──────────────────────────────────────────────────────────────────────────────────────────────

feature = good(
    create_feature.sync(
        client=client, body=Feature("py-seats", FeatureType.QUANTITY, unit="seats"), idempotency_key="py-1"
    )
)
again = good(
    create_feature.sync(
        client=client, body=Feature("py-seats", FeatureType.QUANTITY, unit="seats"), idempotency_key="py-1"
    )
)
assert again == feature
good(create_feature.sync(client=client, body=Feature("py-reports", FeatureType.SWITCH, tags=["py"])))
taken = create_feature.sync(client=client, body=Feature("py-reports", FeatureType.SWITCH))
assert isinstance(taken, Problem)
assert taken.type_ == "urn:tiergate:problem:already-exists"
edited = good(update_feature.sync("py-seats", client=client, body=FeatureEdit(name="Seats"), if_match=feature.etag))
assert edited.name == "Seats"
assert edited.unit == "seats"
outdated = update_feature.sync_detailed("py-seats", client=client, body=FeatureEdit(name="X"), if_match=feature.etag)
assert outdated.status_code == HTTPStatus.PRECONDITION_FAILED
assert [it.id for it in good(list_features.sync(client=client, text="SEATS", type_=[FeatureType.QUANTITY])).items]

for name, seats in (("py-basic", 5), ("py-gold", 20)):
    good(
        create_item.sync(
            client=client, body=NewItem(name, ItemKind.PLAN, entitlements=entitlements(**{"py-seats": seats}))
        )
    )
addon = NewItem("py-more", ItemKind.ADDON, entitlements=entitlements(**{"py-seats": 3}))
good(create_item.sync(client=client, body=addon))
patch = EntitlementsEdit()
patch["py-reports"] = True
draft = good(update_item_draft.sync("py-gold", client=client, body=DraftEdit(entitlements=patch)))
assert draft.entitlements.additional_properties == {"py-seats": 20, "py-reports": True}
renamed = good(update_item.sync("py-gold", client=client, body=ItemEdit(name="Gold")))
assert renamed.name == "Gold"
assert {it.id for it in good(list_items.sync(client=client, kind=[ItemKind.PLAN], has_draft=True)).items} >= {"py-gold"}

review = good(publish.sync(client=client, body=Publish(dry_run=True)))
assert not review.published
assert isinstance(review.etag, str)
published = good(publish.sync(client=client, body=Publish(note="by a generated client"), if_match=review.etag))
assert published.published
assert good(get_item.sync("py-gold", client=client)).newest_version == 1

# ── A customer and a subscription ────────────────────────────────────────────────────────────────────────────────────

customer = good(create_customer.sync(client=client, body=NewCustomer("py/acme", name="Ärzte & Söhne", tags=["eu"])))
assert not isinstance(customer, Unset)
changed = good(update_customer.sync("py/acme", client=client, body=CustomerEdit(tags=["eu", "vip"])))
assert good(get_customer.sync("py/acme", client=client)).tags == ["eu", "vip"]
assert [it.id for it in good(list_customers.sync(client=client, text="arzte", tag=["eu", "vip"])).items] == ["py/acme"]

body = NewSubscription("py-s1", "py/acme", SubscriptionStatus.ACTIVE, [HeldItem("py-basic")], start=NOW)
good(create_subscription.sync(client=client, body=body))
assert held("py/acme") | {"py-seats": True} == held("py/acme")
good(add_subscription_item.sync("py-s1", client=client, body=AddedItem("py-more", quantity=2)))
assert held("py/acme")["py-reports"] is False

end = NOW + dt.timedelta(days=14)
trialing = good(start_subscription_trial.sync("py-s1", client=client, body=TrialStep(end)))
assert trialing.trial_end == end.replace(microsecond=end.microsecond // 1000 * 1000)
paused = good(pause_subscription.sync("py-s1", client=client, body=PauseStep()))
assert paused.state is SubscriptionState.PAUSED
good(resume_subscription.sync("py-s1", client=client, body=ResumeStep()))
change = PlanChange("py-gold", at=PlanChangeAtType0.NOW)
upgraded = good(change_subscription_plan.sync("py-s1", client=client, body=change))
assert {item.item for item in upgraded.items if isinstance(item.until, Unset)} == {"py-more", "py-gold"}
assert held("py/acme")["py-reports"] is True
good(update_subscription.sync("py-s1", client=client, body=SubscriptionEdit(external_ids=None)))
override = NewOverride("py-seats", value=40, until=end, reason="Ticket 4711")
good(create_customer_override.sync("py/acme", client=client, body=override))
explained = good(explain.sync(client=client, body=CheckAt("py/acme", "py-seats", amount=30)))
assert explained.decision.allowed
trials = good(list_subscriptions.sync(client=client, state=[SubscriptionState.LIVE], item="py-gold"))
assert [it.id for it in trials.items] == ["py-s1"]
lines: Response[object] = export_subjects.sync_detailed(client=client)
assert b"py-s1" in lines.content

# ── The end ──────────────────────────────────────────────────────────────────────────────────────────────────────────

good(cancel_subscription.sync("py-s1", client=client, body=CancelStep()))
assert good(get_subscription.sync("py-s1", client=client)).state is SubscriptionState.ENDED
assert delete_subscription.sync_detailed("py-s1", client=client).status_code == HTTPStatus.NO_CONTENT
assert delete_customer.sync_detailed("py/acme", client=client).status_code == HTTPStatus.NO_CONTENT
assert good(archive_item.sync("py-gold", client=client)).status is CatalogStatus.ARCHIVED
assert good(archive_feature.sync("py-reports", client=client)).status is CatalogStatus.ARCHIVED
assert isinstance(get_feature.sync("py-none", client=client), Problem)
