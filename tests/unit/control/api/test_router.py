from __future__ import annotations

import contextlib
import http.client
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.admin import Admin, serving
from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.router import Endpoint, Open
from tiergate.errors import (
    BodyError,
    BodyProblem,
    ConflictError,
    NotFoundError,
    PreconditionError,
    RulesError,
    StoreError,
)
from tiergate.model import Problem
from tiergate.permissions import Action, Resource
from tiergate.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.store import WriteUnit

ERRORS: dict[str, Exception] = {
    "not-found": NotFoundError("note", "n1", "n2"),
    "conflict": ConflictError("note-in-use", "the note `n1` is in use"),
    "precondition": PreconditionError("note", "n1", 7),
    "body": BodyError([BodyProblem("/a/0", "wrong-type", "must be a text", "b")]),
    "json": BodyError([BodyProblem("", "bad-json", "is no JSON")]),
    "rules": RulesError([Problem("r.cedar", 3, 4, "bad-syntax", "no")]),
    "store": StoreError("postgresql://user:secret@host is gone"),
    "defect": ZeroDivisionError("secret"),
}


class Note(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    lines: list[int] = []


class Notes:
    """Endpoints that show what they were asked."""

    def __init__(self) -> None:
        self.made = 0
        self.held = threading.Event()

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        acme = lambda request: Resource.customer_of(request.params["customer"])  # noqa: E731 - short
        return [
            Endpoint("GET", "/v1/notes", Action.VIEW, self.show, Resource.store(), query=("tag",), paged=True),
            Endpoint("GET", "/v1/notes/new", Action.VIEW, self.new, Resource.store()),
            Endpoint("GET", "/v1/notes/{id}", Action.VIEW, self.show, Resource.store()),
            Endpoint("POST", "/v1/notes", Action.EDIT_ROLES, self.create, Resource.store(), max_body=1000),
            Endpoint("PUT", "/v1/of/{customer}", Action.EDIT_CUSTOMER, self.edit, acme),
            Endpoint("POST", "/v1/of/{customer}", Action.EDIT_CUSTOMER, self.both, acme),
            Endpoint("DELETE", "/v1/notes/{id}", Action.EDIT_ROLES, self.show, Resource.store()),
            Endpoint("GET", "/v1/errors/{id}", Action.VIEW, self.fail, Resource.store()),
            Endpoint("GET", "/v1/stream", Action.VIEW, self.stream, Resource.store()),
            Endpoint("GET", "/livez", Open.ANYBODY, self.live),
            Endpoint("GET", "/v1/me", Open.AUTHENTICATED, self.live),
        ]

    async def show(self, request: AdminRequest) -> Response:
        """Show what was asked."""
        asked = {"params": request.params, "query": request.query, "limit": request.limit, "cursor": request.cursor}
        return Response.json(asked | {"caller": request.caller.id, "reason": request.reason, "path": request.path})

    def new(self, _request: AdminRequest) -> Response:
        """Answer from the thread pool."""
        return Response.page([1, 2], "after 2/é")

    def create(self, request: AdminRequest) -> Response:
        """Make a note."""
        body = request.decode(Note)

        def work(unit: WriteUnit) -> Response:
            self.made += 1
            unit.audit("note.created", "note", body.text)
            return Response.json({"text": body.text, "made": self.made}, 201, etag=1, location="/v1/notes/1")

        return request.change(work)

    def edit(self, request: AdminRequest) -> Response:
        """Change a note that was changed three times."""
        request.precondition.check("note", "n1", 3)
        return Response.empty(etag=4)

    def both(self, request: AdminRequest) -> Response:
        """Do something else too."""
        request.require(Action.PUBLISH, Resource.catalog())
        return Response.empty()

    def fail(self, request: AdminRequest) -> Response:
        """Raise."""
        raise ERRORS[request.params["id"]]

    def stream(self, _request: AdminRequest) -> Response:
        """Send parts."""
        return Response.stream(iter([b"1\n", b"2\n"]), "application/x-ndjson")

    async def live(self, request: AdminRequest) -> Response:
        """Say who asked."""
        return Response.json(request.caller.id)


@pytest.fixture(scope="module")
def notes() -> Notes:
    """Give endpoints."""
    return Notes()


@pytest.fixture(scope="module")
def admin(notes: Notes, sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:  # noqa: ANN401
    """Serve them on a store."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    store = Store.open(f"sqlite:///{path}", migrating=True)
    with contextlib.closing(store), serving(store, notes.endpoints()) as served:
        yield served


def test_an_endpoint_cannot_be_made_without_an_action() -> None:
    """Nor without what the action is on."""
    with pytest.raises(TypeError):
        Endpoint("GET", "/v1/notes", handler=Notes().new)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="needs an action"):
        Endpoint("GET", "/v1/notes", "view", Notes().new, Resource.store())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a resource"):
        Endpoint("GET", "/v1/notes", Action.VIEW, Notes().new)


def test_a_handler_is_told_what_was_asked(admin: Admin) -> None:
    """Parts of the path, parameters, the caller and its reason."""
    answer = admin.as_("analyst").get("/v1/notes?tag=a%2Fb&limit=7", headers={"tiergate-reason": "caf%C3%A9"})
    assert answer.json() == {
        "params": {},
        "query": {"tag": "a/b", "limit": "7"},
        "limit": 7,
        "cursor": None,
        "caller": "test/analyst",
        "reason": "café",
        "path": "/v1/notes",
    }


def test_what_is_written_out_comes_before_what_takes_any_name(admin: Admin) -> None:
    """Wherever it stands in the table."""
    assert admin.as_("admin").get("/v1/notes/new").json()["items"] == [1, 2]
    assert admin.as_("admin").get("/v1/notes/other").json()["params"] == {"id": "other"}


def test_a_cursor_comes_back_as_it_went_out(admin: Admin) -> None:
    """Whatever it is made of."""
    cursor = admin.as_("admin").get("/v1/notes/new").json()["next"]
    assert admin.as_("admin").get("/v1/notes", params={"cursor": cursor}).json()["cursor"] == "after 2/é"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "limit=1&limit=2", "tga=x", "tag=%00", "cursor=é", "cursor=YQBi"]
)
def test_a_parameter_that_is_wrong_is_refused(admin: Admin, query: str) -> None:
    """Unknown, twice, or out of bounds."""
    assert admin.as_("admin").get(f"/v1/notes?{query}").status_code == 400


def test_without_credentials_there_is_no_answer(admin: Admin) -> None:
    """Whatever the path says."""
    answer = admin.client().get("/v1/notes")
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:tiergate:problem:unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_role_that_may_not_is_told_so(admin: Admin) -> None:
    """With what it may not do."""
    answer = admin.as_("analyst").post("/v1/notes", json={"text": "a"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:tiergate:problem:forbidden")
    assert "`editRoles`" in answer.json()["detail"]


def test_open_endpoints_say_so(admin: Admin) -> None:
    """One is for anybody, one for every caller, roles or not."""
    assert admin.client().get("/livez").json() == "anonymous"
    assert admin.client().get("/v1/me").status_code == 401
    assert admin.as_("nothing").get("/v1/me").json() == "test/nothing"


def test_a_resource_may_be_read_from_the_request(admin: Admin) -> None:
    """So that a narrowed key reaches its own customer alone."""
    sales = admin.as_("sales-agent", customers=["acme"])
    assert sales.put("/v1/of/acme").status_code == 204
    assert sales.put("/v1/of/other").status_code == 403
    assert "limited" in sales.put("/v1/of/other").json()["detail"]


def test_an_endpoint_may_ask_for_more(admin: Admin) -> None:
    """For what it does beside its action."""
    assert admin.as_("sales-agent").post("/v1/of/acme").status_code == 403
    assert admin.as_("sales-agent", "publisher").post("/v1/of/acme").status_code == 204


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("not-found", 404, {"type": "urn:tiergate:problem:not-found", "suggestion": "n2"}),
        ("conflict", 409, {"type": "urn:tiergate:problem:note-in-use", "detail": "the note `n1` is in use"}),
        ("precondition", 412, {"type": "urn:tiergate:problem:precondition-failed", "etag": '"7"'}),
        (
            "body",
            422,
            {
                "errors": [
                    {
                        "pointer": "/a/0",
                        "code": "wrong-type",
                        "detail": "must be a text, did you mean `b`?",
                        "suggestion": "b",
                    }
                ]
            },
        ),
        ("json", 400, {"type": "urn:tiergate:problem:malformed-body"}),
        (
            "rules",
            422,
            {"errors": [{"file": "r.cedar", "line": 3, "column": 4, "code": "bad-syntax", "detail": "no"}]},
        ),
        ("store", 503, {"type": "urn:tiergate:problem:unavailable"}),
        ("defect", 500, {"type": "urn:tiergate:problem:internal-error"}),
    ],
)
def test_every_error_is_a_problem(admin: Admin, name: str, status: int, said: dict[str, object]) -> None:
    """And what nobody may read is not in it."""
    answer = admin.as_("admin").get(f"/v1/errors/{name}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said.items() <= answer.json().items()
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("given", "status"),
    [(None, 204), ("*", 204), ('"3"', 204), ('"2", "3"', 204), ('"2"', 412), ("3", 400), ('W/"3"', 400)],
)
def test_a_change_is_made_to_what_was_seen(admin: Admin, given: str | None, status: int) -> None:
    """`If-Match` is honoured; a lost race says what the tag is now."""
    answer = admin.as_("admin").put("/v1/of/acme", headers={} if given is None else {"if-match": given})
    assert answer.status_code == status
    assert answer.headers.get("etag") == {204: '"4"', 412: '"3"', 400: None}[status]


def test_a_request_sent_again_is_answered_again_and_done_once(admin: Admin, notes: Notes) -> None:
    """Under its key; with another key it is another request."""
    client = admin.as_("admin")
    first = client.post("/v1/notes", json={"text": "x"}, headers={"idempotency-key": "k1"})
    made = notes.made
    again = client.post("/v1/notes", json={"text": "x"}, headers={"idempotency-key": "k1"})
    assert (again.status_code, again.content, again.headers["etag"]) == (201, first.content, first.headers["etag"])
    assert again.headers["location"] == "/v1/notes/1"
    assert again.headers["idempotency-replayed"] == "true"
    assert notes.made == made
    assert client.post("/v1/notes", json={"text": "x"}, headers={"idempotency-key": "k2"}).json()["made"] == made + 1


def test_a_key_is_for_one_request_of_one_caller(admin: Admin) -> None:
    """Another body under the same key is a mistake; another caller's key is another key."""
    client = admin.as_("admin")
    assert client.post("/v1/notes", json={"text": "x"}, headers={"idempotency-key": "k3"}).status_code == 201
    answer = client.post("/v1/notes", json={"text": "y"}, headers={"idempotency-key": "k3"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:tiergate:problem:idempotency-key-reused")
    other = admin.as_("admin", "analyst").post("/v1/notes", json={"text": "y"}, headers={"idempotency-key": "k3"})
    assert "idempotency-replayed" not in other.headers


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"{", 400, ""),
        (b"\xff", 400, ""),
        (b"{}", 422, ""),
        (b'{"text": "a", "lines": [1, "2"]}', 422, "/lines/1"),
        (b'{"text": "a", "x": 1}', 422, ""),
    ],
)
def test_a_body_that_does_not_say_what_it_must_is_refused(admin: Admin, body: bytes, status: int, pointer: str) -> None:
    """With the place of what is wrong."""
    answer = admin.as_("admin").post("/v1/notes", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["errors"][0].get("pointer", "") == pointer


@pytest.mark.parametrize("body", [b'{"text": "a\\u0000b"}', b'{"text": "\\\\\\u0000"}', b'{"text": "a"}\x00'])
def test_a_text_that_no_database_keeps_is_refused(admin: Admin, body: bytes) -> None:
    """U+0000, however it is written; what only looks like it is text like any other."""
    client = admin.as_("admin")
    answer = client.post("/v1/notes", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "bad-character")
    assert client.post("/v1/notes", json={"text": "\\u0000"}).status_code == 201


@pytest.mark.parametrize("reason", ["%00", "a%0Ab", "x" * 1001])
def test_a_reason_is_printable_and_not_long(admin: Admin, reason: str) -> None:
    """It is written down."""
    assert admin.as_("admin").get("/v1/notes", headers={"tiergate-reason": reason}).status_code == 400


def test_bodies_are_bounded_and_called_what_they_are(admin: Admin) -> None:
    """413 and 415; and where there is nothing to say, no body is taken."""
    client = admin.as_("admin")
    assert client.post("/v1/notes", json={"text": "x" * 1000}).status_code == 413
    assert client.post("/v1/notes", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert client.request("DELETE", "/v1/notes/x", json={}).status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "//v1/notes",
        "/v1//notes",
        "/v1/notes/",
        "/v1/%6eotes",
        "/v1/notes/%2e%2e",
        "/v1/x/../notes",
        "/v1/./notes",
        "/v1/notes%2Fnew",
        "/v1/notes/a%00",
        "/v1/notes;x",
        "/V1/notes",
        "/v1/notes\\x",
    ],
)
def test_a_path_has_one_spelling(admin: Admin, path: str) -> None:
    """Whatever means the same to somebody else means nothing here."""
    host, port = admin.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"authorization": "Bearer admin"})
        assert connection.getresponse().status == 404


def test_another_method_is_refused_with_those_that_there_are(admin: Admin) -> None:
    """Of all endpoints at the path."""
    answer = admin.as_("admin").put("/v1/notes")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize("header", ["x-http-method-override", "x-http-method", "x-method-override"])
def test_a_header_cannot_change_the_method(admin: Admin, header: str) -> None:
    """What may read stays reading."""
    answer = admin.as_("analyst").get("/v1/notes/x", headers={header: "DELETE"})
    assert answer.json()["params"] == {"id": "x"}


@pytest.mark.parametrize(
    "values", [["Bearer admin", "Bearer analyst"], ["Basic YWRtaW46"], ["Bearer"], ["Bearer  "], ["admin"], [""]]
)
def test_credentials_are_given_once_and_as_a_bearer(admin: Admin, values: list[str]) -> None:
    """Anything else is refused, and never the first or the last of two taken."""
    host, port = admin.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    with contextlib.closing(connection):
        connection.putrequest("GET", "/v1/notes")
        for value in values:
            connection.putheader("Authorization", value)
        connection.endheaders()
        assert connection.getresponse().status == (400 if len(values) > 1 else 401)


def test_a_request_has_an_id(admin: Admin) -> None:
    """Its own where it is safe to write down, else one of ours."""
    client = admin.as_("admin")
    assert client.get("/v1/notes", headers={"x-request-id": "abc"}).headers["x-request-id"] == "abc"
    assert client.get("/v1/notes", headers={"x-request-id": "a b"}).headers["x-request-id"] != "a b"
    assert client.get("/v1/nothing").headers["x-request-id"]


def test_a_head_is_a_get_without_its_body(admin: Admin) -> None:
    """With the same length."""
    answer = admin.as_("admin").head("/v1/notes")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_an_answer_may_come_in_parts(admin: Admin) -> None:
    """As it is made."""
    assert admin.as_("admin").get("/v1/stream").content == b"1\n2\n"
