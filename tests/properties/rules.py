"""Random users' rules: every kind of scope, and conditions that hold, do not hold, read the time, or err.

Some would be refused by the compiler, because they may err where another guards itself: here that is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.properties.choices import Choices, random_strategy
from tests.properties.documents import CUSTOMER_IDS, FEATURE_TAGS, some
from tests.reference.entitlement import versions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.properties.documents import Document

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


def quoted(kind: str, ids: Iterable[str]) -> list[str]:
    """Entities as they are written in policies."""
    return [f'{kind}::"{it}"' for it in ids]


def scope(choose: Choices, catalog: Document, known: Document, action: str | None) -> str:
    """The scope of a rule."""
    items = [f"{it['kind']}/{it['id']}" for it in catalog["items"]]
    items += [f"{it['kind']}/{it['id']}@{v['version']}" for it in catalog["items"] for v in versions(it)]
    subscriptions = quoted("Subscription", [it["id"] for it in known["subscriptions"]])
    subjects = quoted("Customer", CUSTOMER_IDS) + subscriptions + quoted("User", ["bob", "acme"])
    groups = quoted("Item", items) + subjects
    principal = choose.one(
        [
            "principal",
            "principal",
            f"principal == {choose.one(subjects)}",
            f"principal in {choose.one(groups)}",
            f"principal in {choose.one(groups)}",
            f"principal is {choose.one(['Customer', 'Subscription', 'User'])}",
            f"principal is {choose.one(['Customer', 'User'])} in {choose.one(groups)}",
        ]
    )
    act = f'action == Action::"{action}"'
    if action is None:
        listed = ", ".join(quoted("Action", some(choose, ACTIONS, least=1)))
        act = choose.one(["action", 'action in Action::"access"', f"action in [{listed}]"])
    feature = f'Feature::"{choose.one(catalog["features"])["id"]}"'
    tag = f'Tag::"{choose.one(FEATURE_TAGS)}"'
    resource = choose.one(
        ["resource", "resource", f"resource == {feature}", f"resource in {tag}", "resource is Feature",
         f"resource is Feature in {tag}", f"resource in {feature}"]
    )  # fmt: skip
    return f"{principal}, {act}, {resource}"


def rule(choose: Choices, catalog: Document, known: Document) -> str:
    """One rule without its id."""
    action = choose.one([None, None, None, *ACTIONS])
    condition = ""
    for _ in range(choose.number(0, 2)):
        tests = [*ANYWHERE, *item_conditions(catalog), *(READS[action] * 3 if action else ())]
        test = choose.one(tests + list(IN_TIME if choose.number(0, 3) == 3 else ()))
        condition += f" {choose.one(['when', 'when', 'unless'])} {{ {test} }}"
    return f"{choose.one(['permit', 'forbid'])} ({scope(choose, catalog, known, action)}){condition};"


def item_conditions(catalog: Document) -> list[str]:
    """Conditions on what an item version gives, and on who holds an item."""
    item = catalog["items"][0]
    ref = f'Item::"{item["kind"]}/{item["id"]}@{versions(item)[0]["version"]}"'
    feature = catalog["features"][0]["id"]
    return [
        f'{ref}.hasTag("{feature}") && {ref}.getTag("{feature}") == "50"',
        f'principal in Item::"{item["kind"]}/{item["id"]}"',
    ]


def files(choose: Choices, catalog: Document, known: Document) -> dict[str, str]:
    """One or two files of rules, each rule with an id of its own in its file."""
    found = {}
    for name in ("house", "law.2")[: choose.number(1, 2)]:
        listed = [rule(choose, catalog, known) for _ in range(choose.number(1, 4))]
        found[name] = "\n".join(f'@id("r{place}")\n{text}' for place, text in enumerate(listed))
    return found


rule_files = random_strategy(files)
"""Files of rules for a world."""
