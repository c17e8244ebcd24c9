"""Asks the examples of each framework as a browser would; `test_frameworks` runs it beside a sidecar."""

from __future__ import annotations

import django
import django_example  # noqa: F401 - it says the settings
import fastapi_example
import flask_example
from django.test import Client as DjangoClient
from fastapi.testclient import TestClient
from tiergate_client import AsyncSidecar, Sidecar

GOLD, BASIC = {"X-Customer": "gold-customer"}, {"X-Customer": "basic-customer"}
NOBODY: list[dict[str, str]] = [{}, {"X-Customer": ""}]
NOWHERE = "http://127.0.0.1:1"

with TestClient(fastapi_example.app) as fastapi:
    assert fastapi.get("/analytics", headers=GOLD).json() == {"chart": "up"}
    assert fastapi.get("/analytics", headers=BASIC).status_code == 402
    assert [fastapi.post("/messages", headers=BASIC).json()["left"] for _ in range(2)] == [99, 98]
    assert fastapi.post("/messages", headers={"X-Customer": "nobody-sold"}).status_code == 402
    assert [fastapi.get("/analytics", headers=it).status_code for it in NOBODY] == [401, 401]
    fastapi_example.sidecar = AsyncSidecar(NOWHERE)
    assert fastapi.post("/messages", headers=BASIC).status_code == 503

flask = flask_example.app.test_client()
assert flask.get("/analytics", headers=GOLD).get_json() == {"chart": "up"}
assert flask.get("/analytics", headers=BASIC).status_code == 402
assert flask.get("/menu", headers=BASIC).get_json() == ["credits", "messages", "seats", "support"]
assert [flask.get("/analytics", headers=it).status_code for it in NOBODY] == [401, 401]
flask_example.sidecar = Sidecar(NOWHERE)
assert flask.get("/menu", headers=BASIC).status_code == 503

django.setup()
client = DjangoClient()
assert client.get("/analytics", headers=GOLD).json() == {"chart": "up", "method": "GET"}
assert client.get("/analytics", headers=BASIC).status_code == 402
assert [client.get("/analytics", headers=it).status_code for it in NOBODY] == [401, 401]

print("all asked")  # noqa: T201
