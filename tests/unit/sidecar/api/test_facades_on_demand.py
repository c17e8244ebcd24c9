"""Other protocols fetch a subject before they decide about it, as our own API does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import Service, customer, post
from tests.wire import Connection

if TYPE_CHECKING:
    from tiergate.model import Subject

CONTEXT = {"context": {"targetingKey": "acme", "user": "u1"}}
QUESTION = {
    "subject": {"type": "user", "id": "u1", "properties": {"customer": "acme"}},
    "action": {"name": "access"},
    "resource": {"type": "feature", "id": "movies"},
}


class Fetcher:
    """Knows nobody before it fetches somebody."""

    def __init__(self) -> None:
        self.fetched: list[Subject] = []

    def is_known(self, subject: Subject) -> bool:
        """Whether it was fetched."""
        return subject in self.fetched

    async def fetch(self, subject: Subject) -> bool:
        """Fetch."""
        self.fetched.append(subject)
        return True


def allowed(said: Any) -> bool:  # noqa: ANN401 - any JSON
    """What an answer says of `movies`."""
    if "flags" in said:
        return bool(next(it["value"] for it in said["flags"] if it["key"] == "movies:allowed"))
    if "evaluations" in said:
        return bool(said["evaluations"][0]["decision"])
    if "results" in said:
        return {"type": "feature", "id": "movies"} in said["results"]
    return bool(said.get("decision", said.get("value")))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/ofrep/v1/evaluate/flags/movies:allowed", CONTEXT),
        ("/ofrep/v1/evaluate/flags", CONTEXT),
        ("/access/v1/evaluation", QUESTION),
        ("/access/v1/evaluations", {**QUESTION, "evaluations": [{}]}),
        ("/access/v1/search/resource", QUESTION),
    ],
)
def test_a_subject_is_fetched_first(path: str, body: dict[str, Any]) -> None:
    """The customer of the user, once; the first answer is right, and so are the next."""
    fetcher = Fetcher()
    with Service(customer("acme"), ensures=fetcher).serve() as where, Connection(where.connect()) as connection:
        answers = [connection.ask(post(path, body)).json() for _ in range(4)]

    assert all(allowed(it) for it in answers)
    assert [it.id for it in fetcher.fetched] == ["acme"]


class NoFetcher(Fetcher):
    """Reaches nobody."""

    def is_known(self, subject: Subject) -> bool:  # noqa: ARG002 - whoever is asked about
        """Never."""
        return False


def test_a_subject_that_cannot_be_fetched_is_unknown_for_now() -> None:
    """Of a feature as of a resource of the rules' own: stale, so that nobody takes it for a fact."""
    rules = (
        ("r.cedarschema", "entity report; action export appliesTo { principal: User, resource: report };"),
        ("r.cedar", '@id("all") permit(principal, action == Action::"export", resource);'),
    )
    own = {**QUESTION, "action": {"name": "export"}, "resource": {"type": "report", "id": "r1"}}
    service = Service(customer("acme"), rules=rules, ensures=NoFetcher())
    with service.serve() as where, Connection(where.connect()) as connection:
        answers = [connection.ask(post("/access/v1/evaluation", it)).json() for it in (QUESTION, own)]

    assert [(it["context"]["reason"], it["context"]["stale"]) for it in answers] == [("unknown_subject", True)] * 2
