"""Random checks of a drawn world, in plenty: who asks what and when, mostly at the instants and limits that matter.

Worlds are drawn by Hypothesis, which shrinks them; checks by a plain generator out of a drawn seed, because they are
a hundred times as many.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

from tests.properties.documents import number
from tests.reference.entitlement import Catalogue, boundaries, decide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.properties.documents import Document


class Inquirer:
    """Asks about one world."""

    def __init__(self, catalog: Document, known: Document, seed: int) -> None:
        self.reference = Catalogue(catalog, known)
        self.random = Random(seed)
        self.features = list(self.reference.features)
        self.marks = sorted(boundaries(catalog, known) | {1_780_000_000_000})
        self.customers = list(self.reference.customers)
        self.subscriptions = list(self.reference.subscriptions)

    def now(self) -> int:
        """An instant: mostly at, just before or just after one that the documents mention."""
        if self.random.random() < 0.1:
            return self.random.randrange(1_900_000_000_000)
        return self.random.choice(self.marks) + self.random.choice([-1, 0, 0, 1])

    def subject(self) -> Any:  # noqa: ANN401 - a document's value
        """A subject: a customer, a subscription, somebody in one of them, seldom nobody."""
        random = self.random
        if random.random() < 0.05:
            return random.choice(["nobody", {"type": "subscription", "id": self.customers[0]}])
        if self.subscriptions and random.random() < 0.4:
            found = {"type": "subscription", "id": random.choice(self.subscriptions)}
        else:
            found = {"type": "customer", "id": random.choice(self.customers)}
        if random.random() < 0.2:
            return found | {"user": random.choice(["bob", "acme"])}
        return found["id"] if found["type"] == "customer" and random.random() < 0.5 else found

    def ask(self, now: int) -> Document:
        """A check."""
        ask = {"subject": self.subject(), "feature": self.random.choice(self.features)}
        held = decide(self.reference, ask, now)["entitlement"]
        return ask | self.question(self.reference.features[ask["feature"]], held)

    def asks(self, nows: int, checks: int) -> Iterator[tuple[int, Document]]:
        """Some checks at each of some instants."""
        for _ in range(nows):
            now = self.now()
            for _ in range(checks):
                yield now, self.ask(now)

    def question(self, feature: Document, held: Document) -> Document:
        """The numbers of a check, often at the very limit of `held`, the entitlement as an answer shows it."""
        random, type_ = self.random, feature["type"]
        if type_ == "switch" or random.random() < 0.1:
            return {}
        if type_ == "custom":
            return {"level": random.choice(feature["levels"])}
        scale = feature.get("scale", 0)
        limit = units(held.get("value", 40), scale)
        if type_ == "range":
            return {"value": number(self.near(limit, scale), scale)}
        found = {}
        if random.random() < 0.7:
            found["amount"] = number(max(1, self.amount(feature, limit, scale)), scale)
        if random.random() < 0.7:
            room = limit - units(found.get("amount", 1), scale)
            found["used"] = number(max(0, room + random.choice([-1, 0, 0, 1])), scale)
        elif random.random() < 0.5:
            found["used"] = number(self.near(limit, scale), scale)
        if random.random() < 0.3:
            cap = units(feature.get("caps", {}).get("per_user", 10), scale)
            found["user_used"] = number(
                max(0, cap - units(found.get("amount", 1), scale) + random.choice([0, 0, 1])), scale
            )
        return found

    def near(self, limit: int, scale: int) -> int:
        """Units at a limit, or anywhere below sixty."""
        if self.random.random() < 0.7:
            return max(0, limit + self.random.choice([-1, 0, 0, 1]))
        return self.random.randrange(60 * 10**scale)

    def amount(self, feature: Document, limit: int, scale: int) -> int:
        """Units that suit a quantity's batch, or just do not, or are the whole limit."""
        if "batch" not in feature:
            one: int = 10**scale
            return self.random.choice([1, one, limit, self.near(limit, scale)])
        minimum, increment = (units(feature["batch"].get(key, 1), scale) for key in ("minimum", "increment"))
        whole: int = increment * self.random.randint(1, 9)
        return self.random.choice([whole, whole, whole + 1, minimum, minimum - 1, limit - limit % increment])


def units(edge: int | Decimal, scale: int) -> int:
    """Whole units of an edge number."""
    return int(Decimal(edge).scaleb(scale))
