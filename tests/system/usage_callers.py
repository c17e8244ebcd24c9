"""Callers that consume at several sidecars in all ways that there are, and remember what was acknowledged.

Each request but a few has an idempotency key and is repeated until its outcome is certain, here and elsewhere, now and
later. So what must be booked on each account is known exactly; what had no key and got no answer may count or not.
"""

from __future__ import annotations

import itertools
import random
import socket
import threading
import time
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.serving import post
from tests.wire import Connection
from tiergate.model import BEGINNING
from tiergate.usage.accounts import Account, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE: Final = 10.0
"""How long a caller waits for an answer, in seconds: longer than any of them may take."""

PLANE: Final = -1
"""The place of a request to the control plane itself; the others are numbers of sidecars."""


class Outcome(Enum):
    """What is known of an attempt after it was sent once: with `NO_ANSWER` it may count or not."""

    ACKNOWLEDGED = auto()
    DENIED = auto()
    UNAVAILABLE = auto()
    WRONG = auto()
    NO_ANSWER = auto()


_IMPATIENCE: Final = 0.01
"""How probably a caller does not wait for an answer."""

_LIMITS: Final = frozenset({"limit_reached", "cap_reached"})


class Use(NamedTuple):
    """What a request counts. `subscription`, `user`: at most one of them is named."""

    customer: str
    feature: str
    amount: int
    user: str | None = None
    subscription: str | None = None

    @property
    def subject(self) -> Any:  # noqa: ANN401 - JSON
        """The subject as a request has it."""
        if self.subscription is not None:
            return {"type": "subscription", "id": self.subscription}
        return self.customer if self.user is None else {"type": "customer", "id": self.customer, "user": self.user}

    def accounts(self, units: int) -> dict[Account, int]:
        """What so many units are booked on."""
        found = {}
        for feature, amount in self._features(units):
            found[Account(feature, Scope.CUSTOMER, self.customer, "", BEGINNING)] = amount
            if self.subscription is not None:
                found[Account(feature, Scope.SUBSCRIPTION, self.customer, self.subscription, BEGINNING)] = amount
            if self.user is not None:
                found[Account(feature, Scope.USER, self.customer, self.user, BEGINNING)] = amount
            if feature == "shared":
                found[Account(feature, Scope.EVERYBODY, "", "", BEGINNING)] = amount
        return found

    def _features(self, units: int) -> list[tuple[str, int]]:
        return [(self.feature, units), ("credits", 2 * units)] if self.feature == "images" else [(self.feature, units)]


@dataclass
class Attempt:
    """A request with a key: where its outcome is not known, and how many units it was acknowledged to count."""

    key: str
    use: Use
    kind: str
    expires_in: int = 0
    unknown: set[int] = field(default_factory=set)
    acknowledged: int | None = None
    reservation: str | None = None
    wanted: int = 0
    """How much of a reservation is committed: 0 releases it."""

    is_ended: bool = False


class Tally:
    """What was acknowledged, of all callers together."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.unkeyed: dict[Account, int] = {}
        self.uncertain: dict[Account, int] = {}
        self.acknowledged = self.repeated = self.denied = self.unavailable = 0
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def complain(self, what: str) -> None:
        """Note that something is wrong."""
        with self._lock:
            self.wrong.append(what)

    def add(self, attempt: Attempt) -> None:
        """Note an attempt."""
        with self._lock:
            self.attempts.append(attempt)

    def acknowledge(self, attempt: Attempt, units: int) -> None:
        """Note that an attempt counts so many units."""
        with self._lock:
            if attempt.acknowledged not in {None, units}:
                self.wrong.append(f"{attempt} counts {units} now")
            self.repeated += attempt.acknowledged is not None
            attempt.acknowledged = units
            self.acknowledged += 1

    def count(self, use: Use, *, certain: bool) -> None:
        """Note a consumption without a key, whose answer has come or not."""
        into = self.unkeyed if certain else self.uncertain
        with self._lock:
            self.acknowledged += certain
            for account, units in use.accounts(use.amount).items():
                into[account] = into.get(account, 0) + units

    def forget(self) -> None:
        """Forget what customers consumed, because others follow. What everybody consumed together stays."""
        shared = {account: used for account, used in self.expected().items() if account.scope is Scope.EVERYBODY}
        self.attempts.clear()
        self.unkeyed = {account: least for account, (least, _) in shared.items()}
        self.uncertain = {account: most - least for account, (least, most) in shared.items()}

    def expected(self) -> dict[Account, tuple[int, int]]:
        """The least and the most that must be booked on each account, when no outcome is unknown."""
        least: dict[Account, int] = dict(self.unkeyed)
        for attempt in self.attempts:
            if attempt.acknowledged:
                for account, units in attempt.use.accounts(attempt.acknowledged).items():
                    least[account] = least.get(account, 0) + units
        return {
            account: (least.get(account, 0), least.get(account, 0) + self.uncertain.get(account, 0))
            for account in {**least, **self.uncertain}
        }


class Caller:
    """One caller with connections of its own. `ports`: of the sidecars; `plane`, `key`: the control plane's."""

    def __init__(self, tally: Tally, ports: Sequence[int], plane: int, key: str, name: str, seed: float) -> None:
        """`name`: begins the keys of this caller; each has another."""
        self.draw = random.Random(seed)
        self._tally = tally
        self._ports = ports
        self._plane = plane
        self._key = key
        self._name = name
        self._numbers = itertools.count()
        self._connections: dict[int, Connection] = {}
        self._reserved: list[tuple[int, Attempt]] = []

    # ── at random ────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, customers: Sequence[str], stopped: threading.Event) -> None:
        """Make requests until it is stopped."""
        while not stopped.is_set():
            self._act(customers)
            time.sleep(self.draw.uniform(0, 0.02))
        self.close()

    def _act(self, customers: Sequence[str]) -> None:
        draw = self.draw
        place = draw.randrange(len(self._ports))
        use = self._use(customers)
        match draw.choices(("new", "again", "unkeyed", "reserve", "record", "end"), (40, 15, 15, 8, 8, 14))[0]:
            case "new":
                self.send(self._new(use, "consume"), place)
            case "again":
                known = [it for it in self._tally.attempts[-100:] if it.kind == "consume"]
                done = [it for it in known if it.acknowledged is not None or it.unknown]
                if known:
                    self.send(draw.choice(done or known), place)
            case "unkeyed":
                self._consume_unkeyed(use, place)
            case "reserve":
                seconds = draw.choice((3, 600, 600))
                attempt = self._new(use._replace(amount=draw.randint(1, 5)), "reserve", seconds)
                if self.send(attempt, place) is Outcome.ACKNOWLEDGED and seconds > 3:
                    attempt.wanted = draw.randint(0, attempt.use.amount)
                    self._reserved.append((place, attempt))
            case "record":
                at = draw.choice((PLANE, place))
                self.send(self._new(use._replace(feature="mails", amount=draw.randint(1, 9)), "record"), at)
            case _:
                if self._reserved:
                    self.end(*self._reserved.pop(draw.randrange(len(self._reserved))))

    def _use(self, customers: Sequence[str]) -> Use:
        draw = self.draw
        customer = draw.choice(customers)
        feature = draw.choices(("calls", "few", "mails", "images", "credits", "shared"), (10, 5, 2, 3, 2, 1))[0]
        user = draw.choice((None, None, "ann", "bob"))
        subscription = f"s-{customer}" if user is None and draw.random() < 0.3 else None
        return Use(customer, feature, draw.choice((1, 1, 1, 2, 3)), user, subscription)

    def _new(self, use: Use, kind: str, expires_in: int = 0) -> Attempt:
        attempt = Attempt(f"{self._name}-{next(self._numbers)}", use, kind, expires_in)
        self._tally.add(attempt)
        return attempt

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def consume(self, use: Use, place: int) -> Attempt:
        """Consume with a new key."""
        attempt = self._new(use, "consume")
        self.send(attempt, place)
        return attempt

    def send(self, attempt: Attempt, place: int, *, impatience: float = _IMPATIENCE) -> Outcome:
        """Send an attempt. `impatience`: how probably the answer is not waited for."""
        use = attempt.use
        body = {"subject": use.subject, "feature": use.feature, "amount": use.amount, "key": attempt.key}
        path = {"consume": "/v1/consume", "reserve": "/v1/reserve", "record": "/v1/usage"}[attempt.kind]
        if attempt.expires_in:
            body["expires_in"] = attempt.expires_in
        answer = self._ask(place, path, body, impatient=self.draw.random() < impatience)
        if answer is None:
            attempt.unknown.add(place)
            return Outcome.NO_ANSWER
        status, said = answer
        if status == 503:
            self._tally.unavailable += 1
            return Outcome.UNAVAILABLE
        if status != 200:
            self._tally.complain(f"{attempt} at {place}: {status} {said}")
            return Outcome.WRONG
        if attempt.kind == "record":
            self._tally.acknowledge(attempt, use.amount)
            return Outcome.ACKNOWLEDGED
        if not said["allowed"]:
            self._deny(attempt.use, said)
            return Outcome.DENIED
        if said["consumed" if attempt.kind == "consume" else "reserved"] != use.amount:
            self._tally.complain(f"{attempt} at {place}: {said}")
        if attempt.kind == "consume":
            self._tally.acknowledge(attempt, use.amount)
        else:
            attempt.reservation = said["reservation"]
        return Outcome.ACKNOWLEDGED

    def end(self, place: int, attempt: Attempt) -> None:
        """Commit a part of a reservation or release it; repeat it until the outcome is known, for a while."""
        path = f"/v1/reservations/{attempt.reservation}/{'commit' if attempt.wanted else 'release'}"
        body = {"amount": attempt.wanted} if attempt.wanted else {}
        for _ in range(20):
            answer = self._ask(place, path, body, impatient=self.draw.random() < _IMPATIENCE)
            if answer is not None and answer[0] == 200:
                if answer[1]["consumed"] != attempt.wanted:
                    self._tally.complain(f"{attempt} at {place}: {answer[1]}")
                attempt.is_ended = True
                self._tally.acknowledge(attempt, attempt.wanted)
                return
            if answer is not None and answer[0] != 503:
                self._tally.complain(f"end of {attempt} at {place}: {answer}")
                return
            time.sleep(0.1)
        attempt.unknown.add(place)

    def _consume_unkeyed(self, use: Use, place: int) -> None:
        body = {"subject": use.subject, "feature": use.feature, "amount": use.amount}
        answer = self._ask(place, "/v1/consume", body)
        if answer is None:
            self._tally.count(use, certain=False)
        elif answer[0] == 503:
            self._tally.unavailable += 1
        elif answer[0] != 200:
            self._tally.complain(f"{use} at {place}: {answer}")
        elif answer[1]["allowed"]:
            self._tally.count(use, certain=True)
        else:
            self._deny(use, answer[1])

    def _deny(self, use: Use, said: Any) -> None:  # noqa: ANN401 - JSON
        self._tally.denied += 1
        if said["reason"] not in _LIMITS:
            self._tally.complain(f"{use}: {said}")

    def settle(self, attempts: Sequence[Attempt]) -> None:
        """End its reservations, and ask again for those of these attempts whose outcome is unknown."""
        self.close()  # whoever was there may be dead
        for place, attempt in self._reserved:
            self.end(place, attempt)
        self._reserved.clear()
        for attempt in attempts:
            for place in list(attempt.unknown):
                self._settle_one(attempt, place)
            if attempt.acknowledged is not None or attempt.expires_in == 3:
                attempt.unknown.clear()  # nothing else counts, or what counts expires

    def _settle_one(self, attempt: Attempt, place: int) -> None:
        if attempt.acknowledged is not None or attempt.expires_in == 3:
            return
        if attempt.reservation is None:
            outcome = self.send(attempt, place, impatience=0)
            if outcome is Outcome.DENIED or (outcome is Outcome.ACKNOWLEDGED and attempt.kind != "reserve"):
                attempt.unknown.discard(place)
        if attempt.reservation is not None:
            self.end(place, attempt)
            if attempt.is_ended:
                attempt.unknown.discard(place)

    def _ask(self, place: int, path: str, body: Any, *, impatient: bool = False) -> tuple[int, Any] | None:  # noqa: ANN401
        """Send a request; `None` if there is no answer. `impatient`: do not wait for it."""
        try:
            connection = self._connections.get(place)
            if connection is None:
                port = self._plane if place == PLANE else self._ports[place]
                made = socket.create_connection(("127.0.0.1", port), PATIENCE)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = self._connections[place] = Connection(made)
            if place == PLANE:
                data = post(path, body, headers={"Authorization": f"Bearer {self._key}"})
            else:
                data = post(path, body)
            if not impatient:
                answer = connection.ask(data)
                return answer.status, answer.json()
            connection.send(data)
        except (OSError, AssertionError):
            pass
        self._connections.pop(place).sock.close() if place in self._connections else None
        return None

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.sock.close()
        self._connections.clear()
