"""The sidecar's own API and the Python client answer as the conformance suite says."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import ExitStack
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import urlencode

import httpx
import msgspec
import pytest

from tests.conformance_cases import FILES, FOLDER, cases, differences, exact
from tests.system.processes import Process, sidecar
from tiergate.client import AsyncReservation, AsyncSidecar, Sidecar
from tiergate.client.fake import FakeFeature, FakeSidecar
from tiergate.embedded import EmbeddedSidecar
from tiergate.errors import CheckError, RequestError, UnknownFeatureError
from tiergate.model import Check, Subject, SubjectType
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
    from pathlib import Path

CHECKS: Final = cases("checks.json", "checks")
LISTS: Final = cases("checks.json", "lists")
STEPS: Final = cases("usage.json", "steps")
FIELDS: Final = ("amount", "used", "user_used", "value", "level")


class OwnApi:
    """The sidecar's own API."""

    lacks = ()

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=30)
        self._reservations: dict[str, str] = {}

    def check(self, check: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a check, or its problem."""
        return self._post("/v1/check", check)

    def entitlements(self, subject: str, features: list[str]) -> list[dict[str, Any]]:
        """The entitlements of a customer."""
        query = {"subject": subject} | ({"feature": ",".join(features)} if features else {})
        return list(self._read(self._client.get("/v1/entitlements", params=query))["entitlements"])

    def step(self, do: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What one step of usage is answered."""
        fields = {name: value for name, value in asked.items() if name not in {"as", "reservation"}}
        if do == "usage":
            return self._read(self._client.get(f"/v1/usage?{urlencode(fields)}"))
        if do in {"commit", "release"}:
            return self._post(f"/v1/reservations/{self._reservations[asked['reservation']]}/{do}", fields)
        answer = self._post({"report": "/v1/usage"}.get(do, f"/v1/{do}"), fields)
        if "as" in asked:
            self._reservations[asked["as"]] = answer["reservation"]
        return answer

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _post(self, path: str, body: object) -> dict[str, Any]:
        content = encode(body)
        return self._read(self._client.post(path, content=content, headers={"Content-Type": "application/json"}))

    @staticmethod
    def _read(response: httpx.Response) -> dict[str, Any]:
        return dict(exact(response.content))


class PythonClient:
    """`tiergate.client.Sidecar`. A reservation is an object, whose end returns nothing."""

    lacks = ("replayed", "state", "consumed", "released", "feature")

    def __init__(self, url: str) -> None:
        self._sidecar = Sidecar(url, timeout=30)
        self._reservations: dict[str, Any] = {}

    def check(self, check: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a check, or its problem."""
        fields = {name: check[name] for name in FIELDS if name in check}
        return _told(lambda: _members(self._sidecar.check(_subject(check["subject"]), check["feature"], **fields)))

    def checks(self, checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers to several checks at once, or their problems."""
        asked = [
            Check(subject, check["feature"], *(check.get(name) for name in FIELDS))
            for check in checks
            for subject in [_subject(check["subject"])]
            for subject in [Subject(subject) if isinstance(subject, str) else subject]
        ]
        found = self._sidecar.checks(asked)
        return [_problem(one) if isinstance(one, Exception) else _members(one) for one in found]

    def entitlements(self, subject: str, features: list[str]) -> list[dict[str, Any]]:
        """The entitlements of a customer."""
        return [_members(answer) for answer in self._sidecar.entitlements(subject, features=features)]

    def step(self, do: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What one step of usage is answered."""
        return _told(lambda: self._step(do, asked))

    def close(self) -> None:
        """Close its connections."""
        self._sidecar.close()

    def _step(self, do: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        amount, key = asked.get("amount"), asked.get("key")
        match do:
            case "consume":
                done = self._sidecar.consume(asked["subject"], asked["feature"], amount=amount, key=key)
                return _members(done.answer) | {"consumed": done.consumed, "replayed": done.replayed}
            case "reserve":
                made = self._sidecar.reserve(asked["subject"], asked["feature"], amount=amount, key=key)
                self._reservations[asked["as"]] = made
                return _members(made.answer) | {"reserved": made.reserved}
            case "commit":
                self._reservations[asked["reservation"]].commit(amount)
                return {}
            case "release":
                self._reservations[asked["reservation"]].release()
                return {}
            case "report":
                recorded = self._sidecar.report_usage(asked["subject"], asked["feature"], amount=amount, key=key)
                return _members(recorded)
            case "usage":
                return {"usage": [_members(one) for one in self._sidecar.usage(asked["subject"], asked["feature"])]}
            case _:
                return _members(self._sidecar.check(asked["subject"], asked["feature"], amount=amount))


class AsyncClient(PythonClient):
    """`tiergate.client.AsyncSidecar`, in one event loop."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._reservations = {}
        self._sidecar = cast("Sidecar", _Blocking(AsyncSidecar(url, timeout=30), self._loop.run_until_complete))

    def close(self) -> None:
        """Close its connections."""
        super().close()
        self._loop.close()


class Embedded(PythonClient):
    """`tiergate.embedded.EmbeddedSidecar`, which counts nothing; it has no use for the address."""

    def __init__(self, url: str) -> None:
        del url
        self._sidecar = cast("Sidecar", EmbeddedSidecar(FOLDER / "catalog.yaml", FOLDER / "subjects.yaml"))


SUB_GOLD: Final = Subject("sub-gold", SubjectType.SUBSCRIPTION)


def fake() -> FakeSidecar:
    """A fake whose customers have what those of the suite have."""
    sidecar = FakeSidecar(
        {
            "analytics": FakeFeature(),
            "sso": FakeFeature(),
            "preview": FakeFeature(draft=True),
            "seats": FakeFeature("quantity", unit="seats"),
            "storage": FakeFeature("quantity", unit="GB", scale=1, minimum=0.5, increment=0.5),
            "exports": FakeFeature("quantity", per_user=3),
            "rate": FakeFeature("range", unit="requests/min", scale=2),
            "support": FakeFeature("custom", levels=["email", "chat", "phone", "priority phone"]),
            "credits": FakeFeature("quantity", unit="credits", scale=2, metered=True),
            "messages": FakeFeature("quantity", metered=True),
        }
    )
    gold: dict[str, Any] = {
        "analytics": True,
        "sso": True,
        "preview": True,
        "seats": 10**12,
        "storage": 12.5,
        "exports": 10,
    }
    gold |= {"rate": 500.25, "support": "phone", "credits": "unlimited"}
    platinum: dict[str, Any] = {"analytics": True, "seats": "unlimited", "rate": 1000}
    platinum |= {"support": "priority phone"}
    basic: dict[str, Any] = {"seats": 13, "support": "email", "credits": 10.5, "messages": 100}
    for subject, given in (
        ("gold-customer", gold),
        (SUB_GOLD, gold),
        ("platinum-customer", platinum),
        ("basic-customer", basic),
        ("suspended-customer", gold),
        ("Łukasz/42 & co", {"analytics": True}),
    ):
        for feature, value in given.items():
            sidecar.give(subject, feature, value)
    sidecar.give("gold-customer", "messages", 5, soft=True)
    sidecar.suspend("sso")
    sidecar.suspend("analytics", "suspended-customer")
    sidecar.add("nobody-sold", is_live=False)
    sidecar.add(Subject("sub-over", SubjectType.SUBSCRIPTION), is_live=False)
    return sidecar


class Fake(PythonClient):
    """`tiergate.client.fake.FakeSidecar`; it has no use for the address."""

    def __init__(self, url: str) -> None:
        del url
        self._sidecar = cast("Sidecar", fake())
        self._reservations = {}


class _Blocking:
    """An object for asyncio, each method of which blocks."""

    def __init__(self, inner: object, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._inner = inner
        self._run = run

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it is
        member = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(member):
            return member

        def blocking(*args: object, **options: object) -> object:
            found = self._run(member(*args, **options))
            return _Blocking(found, self._run) if isinstance(found, AsyncReservation) else found

        return blocking


def _subject(subject: str | Mapping[str, str]) -> str | Subject:
    if isinstance(subject, str):
        return subject
    kind = subject.get("type", "customer")
    kind = SubjectType(kind) if kind in list(SubjectType) else kind
    return Subject(subject["id"], kind, subject.get("user"))  # type: ignore[arg-type] # a mistake, on purpose


def _members(value: object) -> dict[str, Any]:
    """A value of the client as the members that the wire has."""
    return dict(msgspec.to_builtins(value, builtin_types=(datetime, Decimal)))


def _told(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return ask()
    except (CheckError, RequestError, UnknownFeatureError) as error:
        return _problem(error)


def _problem(error: Exception) -> dict[str, Any]:
    match error:
        case CheckError():
            return {"type": "urn:tiergate:problem:invalid-request", "status": 400, "field": error.field}
        case UnknownFeatureError():
            return {"type": "urn:tiergate:problem:unknown-feature", "status": 404, "field": "/feature"}
        case RequestError():
            return {"status": error.status}
        case _:
            raise error


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A sidecar that counts."""
    with sidecar(*FILES, "--data", tmp_path_factory.mktemp("data")) as process:
        yield _url(process)


def _url(process: Process) -> str:
    return str(process.event("listening")["api"])


WAYS: Final = (OwnApi, PythonClient, AsyncClient)


Opened: TypeAlias = "Callable[[OwnApi | PythonClient], OwnApi | PythonClient]"


@pytest.fixture
def opened() -> Iterator[Opened]:
    """What closes the connections of a way of asking at the end."""
    with ExitStack() as stack:

        def keep(asker: OwnApi | PythonClient) -> OwnApi | PythonClient:
            stack.callback(asker.close)
            return asker

        yield keep


@pytest.mark.parametrize("way", [*WAYS, Embedded, Fake])
def test_checks_are_answered_as_the_suite_says(url: str, way: type[OwnApi | PythonClient], opened: Opened) -> None:
    """Each check, one at a time; then all of them at once, if the way of asking has that."""
    asker = opened(way(url))
    wrong = _wrong((case["name"], case, asker.check(case["check"])) for case in CHECKS)
    if isinstance(asker, PythonClient):
        sendable = [case for case in CHECKS if case["name"] not in {"a subject without an id", "a subject of no type"}]
        found = asker.checks([case["check"] for case in sendable])
        places = [
            {**case, "problem": {**case["problem"], "field": f"/checks/{place}{case['problem']['field']}"}}
            if case.get("problem", {}).get("status") == 400
            else case
            for place, case in enumerate(sendable)
        ]
        wrong += _wrong((f"{case['name']}, in a batch", case, one) for case, one in zip(places, found, strict=True))
    assert not wrong


@pytest.mark.parametrize("way", [*WAYS, Embedded, Fake])
def test_lists_are_as_the_suite_says(url: str, way: type[OwnApi | PythonClient], opened: Opened) -> None:
    """All features, and some."""
    asker = opened(way(url))
    found = [(case, asker.entitlements(case["subject"], case["features"])) for case in LISTS]
    assert [line for case, one in found for line in differences(case["entitlements"], one, case["subject"])] == []


@pytest.mark.parametrize("way", [*WAYS, Fake])
def test_usage_is_counted_as_the_suite_says(way: type[OwnApi | PythonClient], tmp_path: Path, opened: Opened) -> None:
    """One step after the other, on a sidecar that has counted nothing."""
    with sidecar(*FILES, "--data", tmp_path / "data") as process:
        asker = opened(way(_url(process)))
        steps = [(step["name"], step, _asked(step)) for step in STEPS]
        wrong = _wrong(((name, step, asker.step(step["do"], asked)) for name, step, asked in steps), asker.lacks)
    assert not wrong


def _asked(step: dict[str, Any]) -> dict[str, Any]:
    return {name: step[name] for name in ("subject", "feature", "amount", "key", "as", "reservation") if name in step}


def _wrong(answered: Iterable[tuple[str, dict[str, Any], dict[str, Any]]], may_lack: Collection[str] = ()) -> list[str]:
    """Compare each answer with what its case says. `may_lack`: what the way of asking has no place for."""
    lines = []
    for name, case, found in answered:
        if "problem" in case:
            expected = {key: value for key, value in case["problem"].items() if key in found}
            lines += ["no problem"] * ("status" not in expected)
        elif "usage" in case:
            expected = {"usage": case["usage"]}
        else:
            expected = {key: value for key, value in case["answer"].items() if key in found or key not in may_lack}
        lines += [f"{name}: {line}" for line in differences(expected, found)]
    return lines
