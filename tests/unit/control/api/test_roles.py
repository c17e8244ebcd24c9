from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.control.accountability import accountable, publish_roles
from tiergate.cedar import builtin_text
from tiergate.permissions import Action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.control.accountability import Accountable

SHIPPED = builtin_text("roles")
AUDITOR = '@id("auditor") permit (principal in Role::"auditor", action == Action::"viewAudit", resource);\n'


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Accountable]:
    """Give the API."""
    with accountable(sqlite_url) as served:
        yield served


def test_everybody_learns_who_they_are(api: Accountable) -> None:
    """And what they may do to something."""
    said = api.with_key("customer-support").get("/v1/whoami").json()
    assert (said["kind"], said["name"], said["roles"]) == ("key", "test", ["customer-support"])
    assert said["may"] == ["override", "view"]
    assert api.with_key("admin").get("/v1/whoami").json()["may"] == sorted(Action)
    assert api.with_key("publisher").get("/v1/whoami").json()["may"] == [
        "apply",
        "editRollout",
        "preview",
        "publish",
        "rollback",
        "view",
    ]


def test_a_narrowed_key_learns_what_is_left_of_its_roles(api: Accountable) -> None:
    """Of actions and customers."""
    said = api.with_key("admin", customers=["acme"], actions=["subjects", "publish"]).get("/v1/whoami").json()
    assert (said["customers"], said["actions"]) == (["acme"], ["publish", "subjects"])
    assert "override" in said["may"]
    assert "editRoles" not in said["may"]


def test_the_table_as_shipped_is_in_force_at_first(api: Accountable) -> None:
    """Whoever may view can read it."""
    said = api.with_key("analyst").get("/v1/roles").json()
    assert said["text"] == SHIPPED
    assert (said["publication"], said["shipped"]) == (0, True)
    assert "sidecar" in said["roles"]


def test_a_table_that_is_published_is_in_force_for_the_next_request(api: Accountable) -> None:
    """And no longer when another one is."""
    auditor = api.with_key("auditor")
    assert auditor.get("/v1/audit").status_code == 403
    publish_roles(api.store, SHIPPED + AUDITOR)
    assert auditor.get("/v1/audit").status_code == 200
    said = api.with_key("admin").get("/v1/roles").json()
    assert (said["publication"], said["shipped"], "auditor" in said["roles"]) == (1, False, True)
    publish_roles(api.store, "")
    assert auditor.get("/v1/audit").status_code == 403


def test_a_table_that_cannot_be_read_allows_nothing(api: Accountable) -> None:
    """Such as one of a newer release."""
    publish_roles(api.store, SHIPPED + 'permit (principal, action == Action::"new", resource);')
    assert api.with_key("admin").get("/v1/roles").status_code == 503


def test_a_draft_has_no_effect(api: Accountable) -> None:
    """It is what the next publication will bring."""
    admin, auditor = api.with_key("admin"), api.with_key("auditor")
    assert admin.get("/v1/roles/draft").json() == {"text": SHIPPED, "etag": '"0"', "shipped": True}
    assert admin.put("/v1/roles/draft", json={"text": SHIPPED + AUDITOR}).json()["etag"] == '"1"'
    assert admin.get("/v1/roles/draft").json()["text"] == SHIPPED + AUDITOR
    assert auditor.get("/v1/audit").status_code == 403


def test_a_draft_that_could_not_be_published_is_refused(api: Accountable) -> None:
    """With the place of each problem; what stood stays."""
    admin = api.with_key("admin")
    answer = admin.put("/v1/roles/draft", json={"text": SHIPPED + 'permit (principal, action, resource);\n@id("x")'})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["file"] == "roles.cedar"
    answer = admin.put("/v1/roles/draft", json={"text": AUDITOR})
    assert [error["code"] for error in answer.json()["errors"]] == ["lock-out"]
    assert admin.get("/v1/roles/draft").headers["etag"] == '"0"'


def test_of_two_who_draft_one_hears_of_the_other(api: Accountable) -> None:
    """By the entity tag."""
    admin = api.with_key("admin")
    for tag, status in (('"0"', 200), ('"0"', 412), ('"1"', 200)):
        text = SHIPPED + AUDITOR + f"// {tag} {status}"
        assert admin.put("/v1/roles/draft", json={"text": text}, headers={"if-match": tag}).status_code == status
    assert admin.delete("/v1/roles/draft", headers={"if-match": '"1"'}).status_code == 412
    assert admin.delete("/v1/roles/draft", headers={"if-match": '"2"'}).status_code == 204
    assert admin.delete("/v1/roles/draft").status_code == 404


def test_drafts_are_written_down(api: Accountable) -> None:
    """Before and after."""
    admin = api.with_key("admin")
    admin.put("/v1/roles/draft", json={"text": SHIPPED + AUDITOR})
    admin.put("/v1/roles/draft", json={"text": SHIPPED + AUDITOR})
    admin.delete("/v1/roles/draft")
    dropped, drafted = admin.get("/v1/audit", params={"kind": "roles"}).json()["items"]
    assert (drafted["action"], drafted["after"]["text"]) == ("roles.drafted", SHIPPED + AUDITOR)
    assert (dropped["action"], dropped["before"]["text"]) == ("roles.draft_dropped", SHIPPED + AUDITOR)
