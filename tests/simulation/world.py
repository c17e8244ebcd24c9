"""A ledger, holders, their disks, callers and a bad network: one schedule, which a seed determines.

Everything that counts is the code that runs in production: `Ledger` and `Holder`. Only disks, messages and clocks are
simulated. A schedule ends by healing: then everything must be settled, and exactly what was consumed is booked.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tests.simulation.facts import Facts
from tests.simulation.nodes import Node
from tests.simulation.oracle import Attempt, Oracle, ViolationError
from tiergate.usage.accounts import Account, Consumption, Debit, Scope
from tiergate.usage.idempotency import digest_of, key_of
from tiergate.usage.leases import LeaseTerms, Pace
from tiergate.usage.ledger import Ledger
from tiergate.usage.ledger_records import LedgerRecords
from tiergate.usage.protocol import (
    Booked,
    Reason,
    Refused,
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.usage.protocol import Result

Outcome = TypeVar("Outcome")

STEPS = 40
"""How many things happen in a schedule."""

ROUNDS_MAX = 80
"""After so many exchanges of every holder without a fault, everything is settled."""


class Odds(NamedTuple):
    """How bad a schedule is. Each schedule draws its own, so that some are calm and some have one kind of fault."""

    lost: float
    doubled: float
    crash_of_ledger: float
    retried: float
    encoded: bool
    offline: bool

    @classmethod
    def drawn(cls, random: Random) -> Odds:
        """Draw the odds of a schedule."""
        return cls(
            random.choice((0, 0, 0.1, 0.4)),
            random.choice((0, 0, 0.2)),
            random.choice((0, 0, 0.1)),
            random.choice((0, 0.2, 0.5)),
            random.random() < 0.1,
            random.random() < 0.2,
        )


class World:
    """One schedule."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.now = 1_000_000
        self.skew_of_ledger = 0
        self.facts = Facts(self.random)
        self.records = LedgerRecords()
        self.oracle = Oracle(self.facts, self.records)
        self.odds = Odds.drawn(self.random)
        self.terms = LeaseTerms(term_ms=self.random.choice((300, 2_000, 10_000)), shares=self.random.choice((1, 2, 8)))
        self.pace = Pace(
            idle_ms=self.random.choice((200, 1_000)),
            report_ms=self.random.choice((50, 1_000)),
            report_max=self.random.choice((2, 5_000, 5_000)),
        )
        self.nodes = [Node(self, index) for index in range(self.random.choice((1, 2, 2, 3, 4)))]
        self.messages: list[tuple[int, Request | Reply]] = []
        self.requests: list[Attempt] = []
        self.count = 0
        self.crash_after = -1
        """After this step all sidecars crash; `keeps_all`: though nothing was synced, nothing is lost."""
        self.keeps_all = False
        self.crash_of_ledger = (-1, "")
        """In which transaction the ledger crashes, and when: `before` it commits, or `after`."""
        self.transactions = 0
        self._actions = self._draw_actions()

    def _draw_actions(self) -> list[Callable[[], None]]:
        """Return what may happen, each as often as it is likely in this schedule."""
        faults: list[tuple[Callable[[], None], int]] = [
            (self._crash, 2),
            (self._partition, 2),
            (self._step_clock, 1),
            (self._change_facts, 2),
            (self._pass_time, 2),
            (self._use_reservation, 4),
            (self._compact, 1),
            (self._debit_directly, 3),
            # One of them: a correction may take back what was written off by mistake.
            (self.random.choice((self._correct, self._write_off)), 1),
        ]
        actions = [self._consume] * 16 + [self._exchange] * 8 + [self._deliver] * 12
        actions += [self._sync] * 3 + [self._tick] * 4
        for action, weight in faults:
            if self.random.random() < 0.5:
                actions += [action] * weight
        return actions

    # ── run ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, steps: int = STEPS) -> None:
        """Run the schedule; raises `ViolationError`."""
        for node in self.nodes:
            node.start()
        for step, action in enumerate(self.random.choices(self._actions, k=steps)):
            action()
            if step == self.crash_after:
                for node in self.nodes:
                    node.crash(keep_all=self.keeps_all)
        self.heal()
        self.oracle.check_end(exact=not self.oracle.spans_windows())
        if self.seed % 4 == 0:
            self.sell_the_rest()

    def heal(self) -> None:
        """End all faults, and exchange until nothing is leased."""
        self.odds = self.odds._replace(lost=0, doubled=0, crash_of_ledger=0)
        self.skew_of_ledger = 0
        for node in self.nodes:
            node.skew = 0
            node.cut_off = False
            node.release_all()
        for _ in range(ROUNDS_MAX):
            for node in self.nodes:
                if node.is_due:
                    node.exchange()
            self.deliver_all()
            for node in self.nodes:
                node.sync()
            if all(node.is_quiet for node in self.nodes):
                break
            self.now += 400
        else:
            raise ViolationError("holders do not come to rest")
        for node in self.nodes:
            node.check_replay()

    def sell_the_rest(self) -> None:
        """Consume all that is left of the customer's limit, the last unit too; then one more is refused."""
        if self.facts.window_ms:
            if self.facts.window_ms < 30_000:
                return  # it would end meanwhile
            self.now = self.facts.window(self.now).until
        feature = self.random.choice(self.facts.features)
        account = Account(feature, Scope.CUSTOMER, "c", "", self.facts.window(self.now).start)
        figures = Ledger(self.records, self.facts.bound_of, self.now).figures(account)
        if figures.ceiling is None:
            return
        rest = figures.ceiling - figures.booked
        seller = self._node()
        if rest > 1 and not (seller.sell(account, rest // 2) and seller.sell(account, (rest - 1) // 2)):
            raise ViolationError(f"{rest - 1} of the last {rest} units of {account} cannot be sold")
        self.heal()
        if rest > 0 and not self._node().sell(account, 1):
            raise ViolationError(f"the last unit of {account} cannot be sold")
        self.heal()
        if self._node().sell(account, 1):
            raise ViolationError(f"more than {rest} units of {account} are sold")

    # ── what may happen ──────────────────────────────────────────────────────────────────────────────────────────────

    def _node(self) -> Node:
        return self.random.choice(self.nodes)

    def _tick(self) -> None:
        self.now += self.random.choice((1, 5, 20, 100, 300))

    def _pass_time(self) -> None:
        self.now += self.random.choice((1_000, 2_500, 7_000, 40_000))

    def _consume(self) -> None:
        node = self._node()
        node.try_to_consume(self.new_attempt(node))

    def _sync(self) -> None:
        self._node().sync()

    def _exchange(self) -> None:
        self._node().exchange()

    def _crash(self) -> None:
        self._node().crash()

    def _compact(self) -> None:
        self._node().compact()

    def _partition(self) -> None:
        node = self._node()
        node.cut_off = not node.cut_off

    def _step_clock(self) -> None:
        skew = self.random.choice((0, 0, -50, 50, 700, -700, 3_000, -3_000, 30_000))
        if self.random.random() < 0.2:
            self.skew_of_ledger = skew
        else:
            self._node().skew = skew

    def _change_facts(self) -> None:
        self.oracle.before_change()
        self.facts.change(self.random)
        self.oracle.after_change()

    def _use_reservation(self) -> None:
        node = self._node()
        node.use_reservation(self.new_attempt(node))

    def _debit_directly(self) -> None:
        """A caller without a sidecar consumes, or reports usage after the fact."""
        attempt = self.new_attempt(None)
        consumption = Consumption(attempt.key, attempt.digest, attempt.at, attempt.debits)
        within = self.random.random() < 0.7
        attempt.beyond = not within

        def act(ledger: Ledger) -> Result:
            return (ledger.debit if within else ledger.record)(consumption, attempt.name)

        def committed(result: Result) -> None:
            if isinstance(result, Booked) and not result.repeated:
                self.oracle.add(attempt)
                self.oracle.acknowledge(attempt)

        result = self.on_ledger(act, committed)
        if isinstance(result, Booked) and result.repeated and result.answer:
            self.oracle.check_answer(attempt, result.answer)

    def _correct(self) -> None:
        attempt = self.new_attempt(None, fresh=True)
        consumption = Consumption(b"", b"", attempt.at, attempt.debits)

        def committed(result: Result) -> None:
            if isinstance(result, Booked):
                for debit in attempt.debits:
                    self.oracle.corrected[debit.account] += debit.amount
            elif isinstance(result, Refused) and result.reason is not Reason.BELOW_ZERO:
                raise ViolationError(f"a correction is refused: {result}")

        self.on_ledger(lambda ledger: ledger.correct(consumption), committed)

    def _write_off(self) -> None:
        node = self._node()
        self.on_ledger(lambda ledger: ledger.write_off(node.identity))

    def _deliver(self) -> None:
        """Deliver any of the messages that are on their way: the ledger or the process may crash meanwhile."""
        if not self.messages:
            return
        index, message = self.messages.pop(self.random.randrange(len(self.messages)))
        node = self.nodes[index]
        if isinstance(message, Reply):
            node.receive(decode_reply(encode(message)) if self.odds.encoded else message)
            return
        request = decode_request(encode(message)) if self.odds.encoded else message
        reply = self.on_ledger(lambda ledger: ledger.exchange(request))
        if reply is not None:
            self.send(index, reply)

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_ledger(
        self, act: Callable[[Ledger], Outcome], committed: Callable[[Outcome], None] = lambda _: None
    ) -> Outcome | None:
        """Act on the ledger in one transaction; `None` if it crashes before or after it committed."""
        ledger = Ledger(self.records, self.facts.bound_of, self.now + self.skew_of_ledger, self.terms)
        outcome = act(ledger)
        self.transactions += 1
        if self._crashes("before"):
            self.records.rollback()
            return None
        self.oracle.committed(self.records.commit())
        committed(outcome)
        return None if self._crashes("after") else outcome

    def _crashes(self, when: str) -> bool:
        odds = self.odds.crash_of_ledger
        return self.crash_of_ledger == (self.transactions, when) or (odds > 0 and self.random.random() < odds)

    def new_attempt(self, node: Node | None, *, fresh: bool = False) -> Attempt:
        """Return a request of a caller: a new one, or an earlier one again, perhaps with another content."""
        random = self.random
        self.count += 1
        name = b"%d" % self.count
        at = self.now if node is None else node.clock
        if node is None and random.random() < 0.3:
            at -= random.choice((10, 1_000, 4_000))
        if fresh or random.random() >= self.odds.retried:
            return Attempt(name, b"", b"", self.facts.debits(random, at), at)
        if self.requests and random.random() < 0.6:
            first = random.choice(self.requests)
            if random.random() < 0.1:
                return Attempt(name, first.key, digest_of(name), self.facts.debits(random, at), at)
            window = self.facts.window(at).start
            debits = tuple(
                Debit(debit.account.in_window(window), debit.amount, debit.bounded) for debit in first.debits
            )
            return Attempt(name, first.key, first.digest, debits, at)
        attempt = Attempt(name, key_of("test", str(self.count)), digest_of(name), self.facts.debits(random, at), at)
        self.requests.append(attempt)
        return attempt

    def deliver_all(self) -> None:
        """Deliver all messages, and what they cause."""
        while self.messages:
            self._deliver()

    def send(self, index: int, message: Request | Reply) -> None:
        """Put a message on its way; it may be lost or doubled."""
        if self.nodes[index].cut_off or self.random.random() < self.odds.lost:
            return
        self.messages.append((index, message))
        if self.odds.doubled and self.random.random() < self.odds.doubled:
            self.messages.append((index, message))
