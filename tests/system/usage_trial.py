"""A store, control planes and sidecars that count together, what can happen to them, and what must hold afterwards.

Phases: callers consume while faults happen; then everything is whole again, all that is unreported is reported and all
leases are settled by themselves, and the ledger must have booked exactly what was acknowledged. Then what is left of
each limit is sold, to the last unit. Each phase has customers of its own, so that there is always something to sell.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx

from tests.control_planes import free_port, prepare_store
from tests.system.proxy import CuttingProxy
from tests.system.supervised import Supervised
from tests.system.usage_callers import Attempt, Caller, Outcome, Tally, Use
from tiergate.model import BEGINNING
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.protocol import Hello, Read, Request, decode_reply, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.databases import PostgresServer
    from tiergate.usage.accounts import Figures
    from tiergate.usage.protocol import Operation

LIMITS: Final = {"calls": 3_000, "few": 12, "credits": 400, "shared": 100_000}
"""The hard limits of a customer."""

PER_USER: Final = 9
TOTAL: Final = 60
RECOVERY: Final = 90.0
_ACKNOWLEDGED: Final = Outcome.ACKNOWLEDGED
_CATALOG: Final = {
    "apiVersion": "tiergate/v1",
    "features": [
        {"id": "calls", "type": "quantity", "metered": {"reset": "never"}},
        {"id": "few", "type": "quantity", "metered": {"reset": "never"}, "caps": {"per_user": PER_USER}},
        {"id": "mails", "type": "quantity", "metered": {"reset": "never", "limit": "soft"}},
        {"id": "credits", "type": "quantity", "metered": {"reset": "never"}},
        {
            "id": "images",
            "type": "quantity",
            "metered": {"reset": "never"},
            "draws": {"from": "credits", "cost": 2},
        },
        {"id": "shared", "type": "quantity", "metered": {"reset": "never"}, "caps": {"total": TOTAL}},
    ],
    "items": [{"id": "pro", "kind": "plan", "entitlements": {**LIMITS, "mails": 50, "images": "unlimited"}}],
}


class Trial:
    """The processes of one trial, and its callers."""

    def __init__(
        self, folder: Path, url: str, postgres: PostgresServer | None, *, seed: int, sidecars: int, planes: int
    ) -> None:
        self.draw = random.Random(seed)
        self.seed = seed
        self.tally = Tally()
        self.customers: list[str] = []
        self.faults = 0
        self._postgres = postgres
        self._phases = 0
        credentials = prepare_store(folder, url)
        self._keys = credentials.keys
        self._ports = [free_port() for _ in range(planes)]
        self.planes = [
            Supervised(
                folder,
                f"plane-{number}",
                [
                    *("control-plane", "--database", url, "--signing-key-file", str(credentials.signing_key_file)),
                    *("--port", str(port), "--log-format", "json"),
                ],
            )
            for number, port in enumerate(self._ports)
        ]
        self.proxies = [CuttingProxy(self._ports[number % planes], seed + number) for number in range(sidecars)]
        self._apis = [(free_port(), free_port()) for _ in range(sidecars)]
        self.sidecars = [
            Supervised(
                folder,
                f"sidecar-{number}",
                [
                    *("sidecar", "--control-plane", f"http://127.0.0.1:{proxy.port}"),
                    *("--key-file", str(credentials.key_file("sidecar"))),
                    *("--public-key", str(credentials.public_key_file), "--data", str(folder / f"data-{number}")),
                    *("--port", str(api), "--probe-port", str(probes), "--log-format", "json"),
                ],
            )
            for number, (proxy, (api, probes)) in enumerate(zip(self.proxies, self._apis, strict=True))
        ]

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Start everything."""
        self.start_all()
        self._until(lambda: self._admin("POST", "/v1/apply", {"catalog": _CATALOG}), "apply the catalog")

    def start_all(self) -> bool:
        """Start whatever does not run."""
        if self._postgres is not None:
            self._postgres.start()
        for process in (*self.planes, *self.sidecars):
            process.ensure()
        return True

    def close(self) -> None:
        """Leave nothing behind."""
        for process in (*self.planes, *self.sidecars):
            process.kill()
        for proxy in self.proxies:
            proxy.close()

    # ── a phase ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def phase(self, faults: int, customers: int = 4, callers: int = 6) -> None:
        """Consume while so many faults happen; then check that everything holds."""
        self._make_customers(customers)
        stopped = threading.Event()
        working = [self._caller(f"{self._phases}-{number}") for number in range(callers)]
        threads = [threading.Thread(target=one.run, args=(self.customers, stopped)) for one in working]
        for thread in threads:
            thread.start()
        try:
            self._weather(faults)
        finally:
            stopped.set()
            for thread in threads:
                thread.join()
        self._learn_outcomes(working)
        self._settle()
        self._check()
        self._sell_the_rest()
        self._settle()
        self._check()
        self.tally.forget()

    def _learn_outcomes(self, callers: Sequence[Caller]) -> None:
        left: list[Attempt] = list(self.tally.attempts)

        def settle() -> bool:
            self.start_all()
            with ThreadPoolExecutor(len(callers)) as pool:
                shares = [left[place :: len(callers)] for place in range(len(callers))]
                list(pool.map(Caller.settle, callers, shares))
            left[:] = [attempt for attempt in self.tally.attempts if attempt.unknown]
            return not left

        self._until(settle, "learn every outcome", lambda: str(left[:3]))
        for caller in callers:
            caller.close()

    def _weather(self, faults: int) -> None:
        done = 0
        while done < faults:
            before = self.tally.acknowledged
            for _ in range(min(faults - done, self.draw.randint(1, 4))):
                self._strike()
                done += 1
            self._until(lambda: self.start_all() and self.tally.acknowledged > before + 3, "count anything")  # noqa: B023
            assert not self.tally.wrong, self._story()
        self.faults += done

    def _make_customers(self, count: int) -> None:
        self._phases += 1
        self.customers = [f"c{self._phases}-{number}" for number in range(count)]
        for name in self.customers:
            held = {"id": f"s-{name}", "customer": name, "status": "active", "items": [{"item": "pro"}]}
            self._until(lambda n=name: self._admin("POST", "/v1/customers", {"id": n}), f"create {name}")  # type: ignore[misc]
            self._until(lambda h=held: self._admin("POST", "/v1/subscriptions", h), f"subscribe {name}")  # type: ignore[misc]
        self._until(self._all_know, "tell every sidecar of the customers")

    def _all_know(self) -> bool:
        self.start_all()
        return all(
            self._ask_sidecar(place, name) == "granted"
            for place in range(len(self.sidecars))
            for name in self.customers
        )

    def _ask_sidecar(self, place: int, name: str) -> str:
        try:
            url = f"http://127.0.0.1:{self._apis[place][0]}/v1/check"
            answer = httpx.post(url, json={"subject": name, "feature": "calls"}, timeout=10, trust_env=False)
        except httpx.HTTPError:
            return ""
        return str(answer.json().get("reason"))

    def _caller(self, name: str) -> Caller:
        apis = [api for api, _ in self._apis]
        plane = self.draw.choice(self._ports)
        return Caller(self.tally, apis, plane, self._keys["sidecar"], name, self.draw.random())

    # ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _strike(self) -> None:
        """Do one thing that goes wrong, and see to it that what died lives again, as a supervisor would."""
        draw = self.draw
        sidecar, proxy, plane = draw.choice(self.sidecars), draw.choice(self.proxies), draw.choice(self.planes)
        faults: list[tuple[Callable[[], None], int]] = [
            (sidecar.kill, 8),
            (plane.kill, 4),
            (lambda: self._kill_all(sidecar, plane), 2),
            (sidecar.terminate, 1),
            (proxy.cut_all, 2),
            (proxy.half_close, 2),
            (lambda: self._for_a_while(proxy, "cutting", 0.5), 2),
            (lambda: self._for_a_while(proxy, "dropping", 0.5), 2),
            (lambda: self._for_a_while(proxy, "refusing", 2.5), 2),
            (lambda: self._delay(proxy), 2),
            (lambda: self._pause(sidecar), 2),
            (lambda: self._pause(plane), 1),
            (lambda: self._fill_the_disk(sidecar), 4),
            (lambda: self._step_the_clock(draw.choice((sidecar, plane))), 2),
        ]
        if self._postgres is not None:
            faults += [(self._postgres.kill, 2)]
        else:
            faults += [(lambda: self._fill_the_disk(plane), 2)]
        actions, weights = zip(*faults, strict=True)
        draw.choices(actions, weights)[0]()
        time.sleep(draw.uniform(0, 0.15))  # the weather's own time: nothing waits for it
        self.start_all()

    def _kill_all(self, *processes: Supervised) -> None:
        for process in processes:
            process.kill()

    def _for_a_while(self, proxy: CuttingProxy, what: str, most: float) -> None:
        setattr(proxy, what, True)
        if what == "refusing":
            proxy.cut_all()
        time.sleep(self.draw.uniform(0, most))
        setattr(proxy, what, False)
        if what == "dropping":
            proxy.cut_all()

    def _delay(self, proxy: CuttingProxy) -> None:
        proxy.hold()
        time.sleep(self.draw.uniform(0, 2))
        proxy.let_go()

    def _pause(self, process: Supervised) -> None:
        process.signal(signal.SIGSTOP)
        time.sleep(self.draw.uniform(0, 1.5))
        process.signal(signal.SIGCONT)

    def _fill_the_disk(self, process: Supervised) -> None:
        process.starve(self.draw.choice([0, 512, 4096, 65_536, 262_144]))
        time.sleep(self.draw.uniform(0, 0.5))
        if self.draw.random() < 0.5:
            process.kill()
        process.starve(None)

    def _step_the_clock(self, process: Supervised) -> None:
        process.step_clock(self.draw.choice([-30_000, -1_000, 1_000, 5_000, 30_000]))
        time.sleep(self.draw.uniform(0, 0.3))
        process.step_clock(0)

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self) -> None:
        """Wait until every sidecar has reported all, and has no lease; nobody helps them."""
        self._until(lambda: self.start_all() and all(map(self._is_settled, range(len(self.sidecars)))), "settle")

    def _is_settled(self, place: int) -> bool:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self._apis[place][1]}/status", timeout=10, trust_env=False)
        except httpx.HTTPError:
            return False
        leasing = (answer.json().get("usage") or {}).get("leasing")
        return not (leasing is None or leasing["unreported"] or leasing["leases"])

    def _check(self) -> None:
        """See that the ledger has booked exactly what was acknowledged, and that no limit is exceeded."""
        expected = self.tally.expected()
        accounts = [account for account in expected if account.customer in {"", *self.customers}]
        wrong = list(self.tally.wrong)
        for figures in self._figures(accounts):
            least, most = expected[figures.account]
            if not least <= figures.booked <= most or figures.leased:
                wrong.append(f"{figures} is not {least} to {most}")
            if self._limit_of(figures.account) < figures.booked:
                wrong.append(f"{figures} is above its limit")
        assert not wrong, "\n".join(wrong[:20]) + "\n" + self._story()

    @staticmethod
    def _limit_of(account: Account) -> float:
        if account.scope is Scope.USER:
            return PER_USER if account.feature == "few" else float("inf")
        return TOTAL if account.scope is Scope.EVERYBODY else LIMITS.get(account.feature, float("inf"))

    def _figures(self, accounts: Sequence[Account]) -> Iterator[Figures]:
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{self._ports[0]}",
            headers={"authorization": f"Bearer {self._keys['sidecar']}", "content-type": "application/msgpack"},
            timeout=30,
            trust_env=False,
        )
        with client:
            for place in range(0, len(accounts), 20):
                operations: tuple[Operation, ...] = (Hello(0, 0), Read(tuple(accounts[place : place + 20])))
                holder = uuid4().hex
                for sequence, operation in enumerate(operations, 1):
                    request = Request(holder, 1, b"trial", sequence, (operation,))
                    answer = client.post("/v1/sync/usage", content=encode(request)).raise_for_status()
                yield from decode_reply(answer.content).figures

    def _sell_the_rest(self) -> None:
        """Consume what is left of each hard limit: all but one, the last unit at another sidecar, and no more."""
        caller = self._caller(f"rest-{self._phases}")
        for customer in self.customers:
            for feature in ("calls", "few", "credits"):
                account = Account(feature, Scope.CUSTOMER, customer, "", BEGINNING)
                (figures,) = self._figures([account])
                self._sell(caller, customer, feature, LIMITS[feature] - figures.booked)
        caller.close()

    def _sell(self, caller: Caller, customer: str, feature: str, rest: int) -> None:
        first, last = caller.draw.sample(range(len(self.sidecars)), 2)
        half = (rest - 1) // 2
        for units, place in ((half, first), (rest - 1 - half, first), (1, last)):
            if 0 < units <= rest:
                self._sell_certainly(caller, Use(customer, feature, units), place)
        over = caller.consume(Use(customer, feature, 1), caller.draw.randrange(len(self.sidecars)))
        assert over.acknowledged is None, f"more than the limit is sold: {over}"

    def _sell_certainly(self, caller: Caller, use: Use, place: int) -> None:
        attempt = caller.consume(use, place)

        def is_sold() -> bool:
            return attempt.acknowledged is not None or caller.send(attempt, place, impatience=0) is _ACKNOWLEDGED

        self._until(is_sold, f"sell {attempt}")

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _admin(self, method: str, path: str, body: Any) -> bool:  # noqa: ANN401 - JSON
        self.start_all()
        try:
            answer = httpx.request(
                method,
                f"http://127.0.0.1:{self._ports[0]}{path}",
                json=body,
                headers={"authorization": f"Bearer {self._keys['admin']}"},
                timeout=30,
                trust_env=False,
            )
        except httpx.HTTPError:
            return False
        return answer.is_success or answer.status_code == 409  # it was there already

    def _until(self, done: Callable[[], object], what: str, why: Callable[[], str] = str, tries: int = 3) -> None:
        """Wait until it is done: so long, and at least so many tries, of which each may take long."""
        deadline = time.monotonic() + RECOVERY
        while not done():
            tries -= 1
            is_late = tries <= 0 and time.monotonic() >= deadline
            assert not is_late, f"could not {what} in {RECOVERY:.0f} s: {why()}\n{self._story()}"
            time.sleep(0.05)

    def _story(self) -> str:
        """What everybody says of themselves, for the message of a failure."""
        tally = self.tally
        said = [f"seed {self.seed}, {self.faults} faults, {tally.acknowledged} acknowledged", *tally.wrong[:20]]
        for place, process in enumerate(self.sidecars):
            try:
                said.append(httpx.get(f"http://127.0.0.1:{self._apis[place][1]}/status", timeout=5).text)
            except httpx.HTTPError as error:
                said.append(str(error))
            said.append("".join(process.log.read_text().splitlines(keepends=True)[-8:]))
        said += ["".join(plane.log.read_text().splitlines(keepends=True)[-8:]) for plane in self.planes]
        return "\n".join(said)
