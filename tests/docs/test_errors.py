"""The reference of errors: every problem document that the sidecar can answer, as it answers it."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING

import pytest

from tests import wire
from tests.docs.pages import ROOT, examples
from tests.serving import Service, Where, customer, get, post

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = ROOT / "docs" / "reference" / "errors.md"
READERS = ("check_reader", "strict_reader", "usage_reader")
MODULES = [
    *(ROOT / "src/tiergate/sidecar").rglob("*.py"),
    *(ROOT / f"src/tiergate/wire/{name}.py" for name in READERS),
]

_ROW = re.compile(r"^\| `([a-z-]+)` \| (\d{3}) \|", re.MULTILINE)


@pytest.fixture(scope="module")
def served() -> Iterator[Where]:
    """The API on a real socket."""
    with Service(customer("acme")).serve() as where:
        yield where


def exchange(where: Where, request: bytes) -> wire.Answer:
    """Ask once."""
    with wire.Connection(where.connect()) as connection:
        return connection.ask(request)


def made() -> Iterator[tuple[str, int]]:
    """The name and status of every problem that the sidecar's code makes, as it stands there."""
    for path in sorted(MODULES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in _MAKERS:
                continue
            said = [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
            status, name = _MAKERS[node.func.id]
            if len(said) > max(status, name):
                yield said[name].lower().replace(" ", "-"), int(said[status])
            else:
                assert path.name == "problems.py", f"{path.name}:{node.lineno} makes a problem that cannot be read here"


_MAKERS = {"RequestError": (0, 1), "problem": (1, 0)}
"""What makes problems: the places of the status and of the name, or title, among its constants."""

ROUTED = {"not-found": 404, "method-not-allowed": 405}
"""What routing refuses by itself; the names are those of HTTP."""


def test_every_problem_is_documented() -> None:
    """The page's table has every problem that can be answered, with its status, and no other."""
    assert sorted((name, int(status)) for name, status in _ROW.findall(PAGE.read_text(encoding="utf-8"))) == sorted(
        {*made(), *ROUTED.items()}
    )


@pytest.mark.parametrize(("path", "name"), [("/v1/nothing", "not-found"), ("/v1/check", "method-not-allowed")])
def test_what_routing_refuses_has_the_name_of_its_status(served: Where, path: str, name: str) -> None:
    """A path or method that there is not is a problem of the table too."""
    answer = exchange(served, get(path))
    assert (answer.status, answer.json()["type"]) == (ROUTED[name], f"urn:tiergate:problem:{name}")
    assert answer.headers.get("allow") == ("POST" if name == "method-not-allowed" else None)


_JSON = [it.text for it in examples(PAGE) if it.language == "json"]
SHOWN = list(zip(_JSON[::2], _JSON[1::2], strict=True))


@pytest.mark.parametrize(("asked", "answered"), SHOWN)
def test_an_example_is_answered_as_the_page_says(served: Where, asked: str, answered: str) -> None:
    """Each body on the page has the problem that stands below it."""
    answer = exchange(served, post("/v1/check", asked))
    assert answer.json() == json.loads(answered)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status == answer.json()["status"]
