"""Random users' rules: every kind of scope, and conditions that hold, do not hold, read the time, or err.

Some would be refused by the compiler, because they may err where another guards itself: here that is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.properties.documents import CUSTOMER_IDS, FEATURE_TAGS
from tests.reference.entitlement import versions

if TYPE_CHECKING:
    from tests.properties.documents import Document

__all__ = ["rule_files"]

ACTIONS = ("use", "consume", "set", "choose")
ANYWHERE = (
    "context.held",
    "!context.given",
    "context.live || context.suspended",
    "context.overridden",
    "principal is User",
    'principal.tags.contains("eu")',
    'principal.tags.containsAny(["pilot", "none"])',
    'principal.customer == "acme"',
    'principal.hasTag("region") && principal.getTag("region") == "eu"',
    'principal.getTag("region") == "us"',  # errs where there is no such attribute
    "resource.scale + 9223372036854775806 > 0",  # overflows at a scale of 2 and more
    "resource.scale * 9223372036854775807 >= 0",
    'resource.type == "quantity" && resource.unit like "*/*"',
    'resource in Tag::"reports"',
    'principal in Customer::"acme"',
    'User::"bob" == principal',
)
IN_TIME = (
    'context.now < datetime("2026-04-01T00:00:00Z")',
    "context.weekday > 5",
    "context.weekday + 9223372036854775803 > 0",  # overflows from Friday on
)
CONSUMING = (
    "context.amount > 3",
    "context.used + context.amount <= context.limit + 10",
    "context.unlimited",
    "context.limit * 1000000000000000000 > 0",  # overflows at a limit of ten and more
    "context has userCap && context.userCap.limit < 100",
)
SETTING = ("context.value <= 30", "context.unlimited || context.limit - context.value > 5")
CHOOSING = ("context.rank == 1", "context.heldRank - context.rank == 9223372036854775807")
READS = {"consume": CONSUMING, "set": SETTING, "choose": CHOOSING, "use": ()}


def quoted(kind: str, ids: list[str]) -> list[str]:
    """Entities as they are written in policies."""
    return [f'{kind}::"{it}"' for it in ids]


@st.composite
def scopes(draw: st.DrawFn, catalog: Document, known: Document, action: str | None) -> str:
    """The scope of a rule."""
    items = [f"{it['kind']}/{it['id']}" for it in catalog["items"]]
    items += [f"{it['kind']}/{it['id']}@{v['version']}" for it in catalog["items"] for v in versions(it)]
    subscriptions = quoted("Subscription", [it["id"] for it in known["subscriptions"]])
    subjects = quoted("Customer", list(CUSTOMER_IDS)) + subscriptions + quoted("User", ["bob", "acme"])
    groups = quoted("Item", items) + subjects
    kind = draw(st.sampled_from(["", "", "==", "in", "in", "is", "is in"]))
    principal = {
        "": "principal",
        "==": f"principal == {draw(st.sampled_from(subjects))}",
        "in": f"principal in {draw(st.sampled_from(groups))}",
        "is": f"principal is {draw(st.sampled_from(['Customer', 'Subscription', 'User']))}",
        "is in": f"principal is {draw(st.sampled_from(['Customer', 'User']))} in {draw(st.sampled_from(groups))}",
    }[kind]
    act = f'action == Action::"{action}"'
    if action is None:
        listed = ", ".join(quoted("Action", draw(st.lists(st.sampled_from(ACTIONS), min_size=1, unique=True))))
        act = draw(st.sampled_from(["action", 'action in Action::"access"', f"action in [{listed}]"]))
    feature = f'Feature::"{draw(st.sampled_from(catalog["features"]))["id"]}"'
    tag = f'Tag::"{draw(st.sampled_from(FEATURE_TAGS))}"'
    resource = draw(
        st.sampled_from(
            ["resource", "resource", f"resource == {feature}", f"resource in {tag}", "resource is Feature",
             f"resource is Feature in {tag}", f"resource in {feature}"]
        )
    )  # fmt: skip
    return f"{principal}, {act}, {resource}"


@st.composite
def rules(draw: st.DrawFn, catalog: Document, known: Document) -> str:
    """One rule without its id."""
    action = draw(st.sampled_from([None, None, None, *ACTIONS]))
    effect = draw(st.sampled_from(["permit", "forbid"]))
    condition = ""
    for _ in range(draw(st.integers(0, 2))):
        choices = [*ANYWHERE, *item_conditions(catalog), *(READS[action] * 3 if action else ())]
        test = draw(st.sampled_from(choices + list(IN_TIME if draw(st.integers(0, 3)) == 3 else ())))
        condition += f" {draw(st.sampled_from(['when', 'when', 'unless']))} {{ {test} }}"
    return f"{effect} ({draw(scopes(catalog, known, action))}){condition};"


def item_conditions(catalog: Document) -> list[str]:
    """Conditions on what an item version gives, and on who holds an item."""
    item = catalog["items"][0]
    ref = f'Item::"{item["kind"]}/{item["id"]}@{versions(item)[0]["version"]}"'
    feature = catalog["features"][0]["id"]
    return [
        f'{ref}.hasTag("{feature}") && {ref}.getTag("{feature}") == "50"',
        f'principal in Item::"{item["kind"]}/{item["id"]}"',
    ]


@st.composite
def rule_files(draw: st.DrawFn, catalog: Document, known: Document) -> dict[str, str]:
    """One or two files of rules, each rule with an id of its own in its file."""
    found = {}
    for name in ("house", "law.2")[: draw(st.integers(1, 2))]:
        listed = draw(st.lists(rules(catalog, known), min_size=1, max_size=4))
        found[name] = "\n".join(f'@id("r{place}")\n{rule}' for place, rule in enumerate(listed))
    return found
