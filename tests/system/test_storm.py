"""A storm: control plane, database and sidecars are killed, cut off, starved of disk and of true time, at random.

All the while a writer changes subscriptions and publishes, and remembers what was accepted; observers ask every
sidecar. Every value that is written only ever grows, so that an answer that is smaller than an earlier one of the same
sidecar shows at once that it went back. When the storm is over everybody must come to what was accepted last, with no
hand: that is all that may be asked of the weather.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from tests.control_planes import free_port, prepare_store
from tests.databases import PostgresServer
from tests.system.proxy import CuttingProxy
from tests.system.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CATALOG: Final = {
    "apiVersion": "tiergate/v1",
    "features": [{"id": "seats", "type": "quantity"}, {"id": "quota", "type": "quantity"}],
    "items": [
        {"id": "base", "kind": "plan", "entitlements": {"quota": 1}},
        {"id": "extra", "kind": "addon", "entitlements": {"seats": 1}},
    ],
}
CUSTOMERS: Final = 12
SIDECARS: Final = 2
RECOVERY: Final = 90.0
_FAULTS_SHORT: Final = 30
_FAULTS_LONG: Final = 1000


class World:
    """One store, one control plane, some sidecars behind a network that fails, and what was accepted."""

    def __init__(self, folder: Path, url: str, postgres: PostgresServer | None, seed: int) -> None:
        self.draw = random.Random(seed)
        self.postgres = postgres
        self.port, self._ports = free_port(), [(free_port(), free_port()) for _ in range(SIDECARS)]
        credentials = prepare_store(folder, url)
        self.proxy = CuttingProxy(self.port, seed)
        self.plane = Supervised(
            folder,
            "plane",
            [
                *("control-plane", "--database", url, "--signing-key-file", str(credentials.signing_key_file)),
                *("--port", str(self.port), "--log-format", "json"),
            ],
        )
        self.sidecars = [
            Supervised(
                folder,
                f"sidecar-{number}",
                [
                    *("sidecar", "--control-plane", f"http://127.0.0.1:{self.proxy.port}"),
                    *(
                        "--key-file",
                        str(credentials.key_file("sidecar")),
                        "--public-key",
                        str(credentials.public_key_file),
                    ),
                    *("--data", str(folder / f"data-{number}")),
                    *("--workers", str(number + 1)),
                    *("--port", str(api), "--probe-port", str(probes), "--log-format", "json"),
                ],
            )
            for number, (api, probes) in enumerate(self._ports)
        ]
        self.accepted = {f"c{number}": 0 for number in range(CUSTOMERS)}
        self.attempted = dict(self.accepted)
        self.quota = self.attempted_quota = 1
        self.writes = 0
        self.wrong: list[str] = []
        self._seen: dict[tuple[int, str], int] = {}
        self._stop = threading.Event()
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {credentials.keys['admin']}"},
            timeout=5,
        )

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Start everything, and write what there is at first."""
        self.start_all()
        _until(lambda: self.lives() and self._ok("POST", "/v1/apply", {"catalog": CATALOG}), "apply the catalog")
        for number in range(CUSTOMERS):
            _until(lambda n=number: self._exists(n), f"create customer {number}")  # type: ignore[misc]
        _until(self.settled, "settle before the storm")
        self.wrong.clear()  # who was asked before the first change came knew of nobody

    def lives(self) -> bool:
        """Start what has ended by itself meanwhile, such as a control plane that found no database."""
        self.start_all()
        return True

    def start_all(self) -> None:
        """Start whatever does not run."""
        if self.postgres is not None:
            self.postgres.start()
        for process in (self.plane, *self.sidecars):
            process.ensure()

    def work(self) -> list[threading.Thread]:
        """Begin to write and to look."""
        threads = [
            threading.Thread(target=self._write),
            *[threading.Thread(target=self._look, args=(n,)) for n in range(SIDECARS)],
        ]
        for thread in threads:
            thread.start()
        return threads

    def end(self) -> None:
        """End the threads that work."""
        self._stop.set()

    def close(self) -> None:
        """Leave nothing behind."""
        self.end()
        for process in (self.plane, *self.sidecars):
            process.kill()
        self.proxy.close()
        self._client.close()

    # ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def strike(self) -> None:
        """Do one thing that goes wrong, and see to it that what died lives again, as a supervisor would."""
        faults: list[Callable[[], None]] = [
            self.plane.kill,
            self.plane.kill,
            *[sidecar.kill for sidecar in self.sidecars],
            *[sidecar.kill for sidecar in self.sidecars],
            self.proxy.cut_all,
            self._cut_for_a_while,
            self._refuse_for_a_while,
            self._fill_a_disk,
            self._step_a_clock,
        ]
        if self.postgres is not None:
            faults += [self.postgres.kill, self.postgres.kill]
        self.draw.choice(faults)()
        time.sleep(self.draw.uniform(0, 0.15))  # the weather's own time: nothing waits for it
        self.start_all()

    def _cut_for_a_while(self) -> None:
        self.proxy.cutting = True
        time.sleep(self.draw.uniform(0, 0.3))
        self.proxy.cutting = False

    def _refuse_for_a_while(self) -> None:
        self.proxy.refusing = True
        self.proxy.cut_all()
        time.sleep(self.draw.uniform(0, 0.3))
        self.proxy.refusing = False

    def _fill_a_disk(self) -> None:
        victim = self.draw.choice([self.plane, *self.sidecars])
        victim.starve(self.draw.choice([0, 4096, 65_536]))
        time.sleep(self.draw.uniform(0, 0.3))
        victim.starve(None)

    def _step_a_clock(self) -> None:
        victim = self.draw.choice([self.plane, *self.sidecars])
        victim.step_clock(self.draw.choice([-3_600_000, -1_000, 0, 1_000, 3_600_000, 86_400_000]))
        time.sleep(self.draw.uniform(0, 0.2))
        victim.step_clock(0)

    # ── writing and looking ──────────────────────────────────────────────────────────────────────────────────────────

    def _write(self) -> None:
        draw = random.Random(self.draw.random())
        while not self._stop.is_set():
            if draw.random() < 0.1:
                self.attempted_quota = self.quota + 1
                if self._publish(self.attempted_quota):
                    self.quota = self.attempted_quota
                    self.writes += 1
            else:
                name = draw.choice(list(self.accepted))
                self._see_kept(name)
                wanted = self.attempted[name] = self.accepted[name] + 1
                items = [{"item": "base"}, {"item": "extra", "quantity": wanted}]
                if self._ok("PATCH", f"/v1/subscriptions/s-{name}", {"items": items}):
                    self.accepted[name] = wanted
                    self.writes += 1

    def _see_kept(self, name: str) -> None:
        """See that the store has what was accepted, before anything is written over it."""
        try:
            answer = self._client.get(f"/v1/subscriptions/s-{name}")
        except httpx.HTTPError:
            return
        if answer.is_success:
            held = {one["item"]: one.get("quantity", 1) for one in answer.json()["items"]}
            if not self.accepted[name] <= held.get("extra", 0) <= self.attempted[name]:
                self.wrong.append(f"{self.accepted[name]} of {name} was accepted, and the store has {held}")

    def _publish(self, quota: int) -> bool:
        drafted = self._ok("PUT", "/v1/items/base/draft", {"entitlements": {"quota": quota}})
        return drafted and self._ok("POST", "/v1/publish", {})

    def _look(self, number: int) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self._ports[number][0]}", timeout=5) as client:
            while not self._stop.is_set():
                for name in self.accepted:
                    for feature in ("seats", "quota"):
                        self._note(number, name, feature, self._value(client, name, feature))

    def _note(self, number: int, name: str, feature: str, value: int | None) -> None:
        if value is None:
            return
        key = (number, f"{name}/{feature}")
        before = self._seen.get(key, 0)
        most = self.attempted[name] if feature == "seats" else self.attempted_quota
        if not before <= value <= most:
            self.wrong.append(f"sidecar {number} says {feature} of {name} is {value} after {before}, at most {most}")
        self._seen[key] = value

    def _value(self, client: httpx.Client, name: str, feature: str) -> int | None:
        """What a sidecar says that a customer holds; none where it does not answer."""
        try:
            answer = client.post("/v1/check", json={"subject": name, "feature": feature})
        except httpx.HTTPError:
            return None
        if answer.status_code == 503:
            return None
        said = answer.json()
        if answer.status_code != 200 or said["reason"] in {"evaluation_error", "unknown_subject"}:
            self.wrong.append(f"{name} {feature}: {answer.status_code} {said}")
            return None
        return int(said["entitlement"]["value"])

    def arrived(self) -> bool:
        """Say whether every sidecar answers what was accepted last or, of a write that got no answer, attempted."""
        for api, _ in self._ports:
            with httpx.Client(base_url=f"http://127.0.0.1:{api}", timeout=5) as client:
                for name, seats in self.accepted.items():
                    said, quota = self._value(client, name, "seats"), self._value(client, name, "quota")
                    if said is None or quota is None:
                        return False
                    if not (seats <= said <= self.attempted[name] and self.quota <= quota <= self.attempted_quota):
                        return False
        return True

    def settled(self) -> bool:
        """Say whether every sidecar answers exactly what was accepted last."""
        for api, _ in self._ports:
            with httpx.Client(base_url=f"http://127.0.0.1:{api}", timeout=5) as client:
                for name, seats in self.accepted.items():
                    if self._value(client, name, "seats") != seats or self._value(client, name, "quota") != self.quota:
                        return False
        return True

    def repeat_last(self) -> bool:
        """Have what was attempted and perhaps not accepted written for certain."""
        for name, wanted in self.attempted.items():
            items = [{"item": "base"}, *([{"item": "extra", "quantity": wanted}] if wanted else [])]
            if not self._ok("PATCH", f"/v1/subscriptions/s-{name}", {"items": items}):
                return False
            self.accepted[name] = wanted
        if not self._publish(self.attempted_quota):
            return False
        self.quota = self.attempted_quota
        return True

    def state(self) -> str:
        """What everybody says of themselves, for the message of a failure."""
        said = []
        for (_, probes), process in zip(self._ports, self.sidecars, strict=True):
            with contextlib.suppress(httpx.HTTPError):
                said.append(httpx.get(f"http://127.0.0.1:{probes}/status", timeout=5).text)
            said.append("".join(process.log.read_text().splitlines(keepends=True)[-5:]))
        said.append("".join(self.plane.log.read_text().splitlines(keepends=True)[-5:]))
        return "\n".join(said)

    def _exists(self, number: int) -> bool:
        name = f"c{number}"
        held = {"id": f"s-{name}", "customer": name, "status": "active", "items": [{"item": "base"}]}
        return (self._ok("GET", f"/v1/customers/{name}") or self._ok("POST", "/v1/customers", {"id": name})) and (
            self._ok("GET", f"/v1/subscriptions/s-{name}") or self._ok("POST", "/v1/subscriptions", held)
        )

    def _ok(self, method: str, path: str, body: dict[str, Any] | None = None) -> bool:
        """Send one request; say whether it was accepted. Anything but a refusal for want of health is a defect."""
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError:
            return False
        if 400 <= answer.status_code < 500 and not (method == "GET" and answer.status_code == 404):
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.is_success


def _until(done: Callable[[], bool], what: str, seconds: float = RECOVERY) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"could not {what} in {seconds:.0f} s"
        time.sleep(0.05)


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Give a world that works, on either database."""
    with ExitStack() as stack:
        server, url = None, f"sqlite:///{tmp_path / 'store.sqlite'}"
        if request.param == "postgresql":
            server = stack.enter_context(PostgresServer.run())
            server.execute("CREATE DATABASE storm")
            url = server.url("storm")
        made = World(tmp_path, url, server, seed=int(os.environ.get("TIERGATE_STORM_SEED", "7")))
        stack.callback(made.close)
        made.begin()
        yield made


def _weather(world: World, faults: int) -> None:
    threads = world.work()
    done = 0
    while done < faults:
        before = world.writes
        for _ in range(world.draw.randint(1, 5)):
            world.strike()
            done += 1
        _until(lambda: world.lives() and world.writes > before + 1, f"write anything after {done} faults")  # noqa: B023
        assert not world.wrong, "\n".join(world.wrong[:20]) + "\n" + world.state()
    world.end()
    for thread in threads:
        thread.join()
    written = world.writes
    try:
        _until(lambda: world.lives() and world.arrived(), "come to what was accepted")  # before it is written again
    except AssertionError:
        pytest.fail("\n".join(world.wrong[:20]) + world.state())
    _until(lambda: world.lives() and world.repeat_last(), "write after the storm")
    try:
        _until(lambda: world.lives() and world.settled(), "settle after the storm")
    except AssertionError:
        pytest.fail(world.state())
    assert not world.wrong, "\n".join(world.wrong[:20])
    assert written > faults / 4


@pytest.mark.slow
def test_a_storm_loses_nothing_and_takes_nothing_back(world: World) -> None:
    """After tens of faults everybody has what was accepted, and nobody went back in between."""
    _weather(world, _FAULTS_SHORT)


@pytest.mark.slow
def test_a_long_storm_loses_nothing_and_takes_nothing_back(world: World) -> None:
    """After a thousand faults everybody has what was accepted, and nobody went back in between."""
    _weather(world, _FAULTS_LONG)
