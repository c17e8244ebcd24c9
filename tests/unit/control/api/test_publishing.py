from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.admin import serving
from tests.publishing import CATALOG, Press, opened
from tests.unit.control.catalog_server import problem
from tiergate.control.api import apply_export, features, immediate_changes, items, publishing, rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin

RULE = '@id("a")\nforbid (principal, action, resource == Feature::"movies");\n'


class Api:
    """A publisher's API, and clients of it."""

    def __init__(self, press: Press, admin: Admin) -> None:
        self.press = press
        self._admin = admin

    def ask(self, method: str, path: str, body: object = None, role: str = "admin", **headers: str) -> httpx.Response:
        """Ask in a role; a body is written as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else msgspec.json.encode(body)
        if content is not None:
            sent["content-type"] = "application/json"
        return self._admin.as_(role).request(method, path, content=content, headers=sent)

    def draft(self, movies: int) -> None:
        """Draft how many movies the plan `gold` gives."""
        answer = self.ask("PUT", "/v1/items/gold/draft", {"entitlements": {"analytics": True, "movies": movies}})
        assert answer.status_code in {200, 201}, answer.text

    def audit(self) -> list[str]:
        """The actions in the audit log."""
        names = [it for row in self.press.rows()["audit"] for it in row if isinstance(it, str)]
        return sorted(it for it in names if it.partition(".")[2] and " " not in it and '"' not in it)


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Api]:
    """The API on a store with a small catalog in force as publication 1."""
    with opened(sqlite_url) as press:
        press.apply()
        publisher = press.publisher
        endpoints = [
            *features.endpoints(),
            *items.endpoints(),
            *publishing.endpoints(publisher),
            *immediate_changes.endpoints(publisher),
            *rules.endpoints(publisher),
            *apply_export.endpoints(publisher),
        ]
        with serving(press.store, endpoints) as admin:
            yield Api(press, admin)


def changed(answer: httpx.Response) -> list[tuple[str, str, str]]:
    """What an answer says that changes."""
    return [(it["kind"], it["id"], it["change"]) for it in answer.json()["changes"]]


def test_publishing_answers_with_what_changed(api: Api) -> None:
    """And where the publication is; the second time there is nothing to do."""
    api.draft(60)
    answer = api.ask("POST", "/v1/publish", {"note": "more movies"})
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/publications/2")
    assert changed(answer) == [("item", "gold", "changed")]
    assert {"path": "versions/2/movies", "before": 50, "after": 60} in answer.json()["changes"][0]["details"]
    again = api.ask("POST", "/v1/publish")
    assert (again.status_code, again.json()["published"], again.json()["publication"]) == (200, False, 2)
    shown = api.ask("GET", "/v1/publications/2").json()
    assert (shown["note"], shown["author"], shown["changes"]) == ("more movies", "test/admin", answer.json()["changes"])


@pytest.mark.parametrize(
    ("path", "action"),
    [("publish", "publish"), ("publications/1/rollback", "rollback"), ("apply", "apply"), ("preview", "preview")],
)
def test_a_refusal_names_what_was_asked(api: Api, path: str, action: str) -> None:
    """Not only the permission that it needs first."""
    refused = api.ask("POST", f"/v1/{path}", {}, role="sales-agent")
    assert refused.status_code == 403
    assert refused.json()["detail"].startswith(f"you may not `{action}` here (Catalog)")


@pytest.mark.parametrize(
    ("note", "status", "code"), [(" ", 422, "empty-text"), ("more\u202eseivom", 400, "bad-character")]
)
def test_a_note_can_be_read(api: Api, note: str, status: int, code: str) -> None:
    """Neither blank nor turned around; nothing is published."""
    api.draft(60)
    answer = api.ask("POST", "/v1/publish", {"note": note})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
    assert api.press.sequence == 1


def test_publishing_is_repeated_by_its_key(api: Api) -> None:
    """The same request is answered alike, although nothing is pending any more."""
    api.draft(60)
    first, second = (api.ask("POST", "/v1/publish", {}, idempotency_key="k1") for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert (first.content, api.press.sequence) == (second.content, 2)


def test_a_dry_run_has_no_effect(api: Api) -> None:
    """It says what would change and what stands against it."""
    api.draft(60)
    answer = api.ask("POST", "/v1/publish", {"dry_run": True, "items": ["gold", "golden"]})
    assert (answer.status_code, api.press.sequence) == (200, 1)
    assert [(it["file"], it["code"]) for it in answer.json()["problems"]] == [("items/golden", "unknown-item")]
    assert changed(api.ask("GET", "/v1/pending")) == [("item", "gold", "changed")]


def test_what_cannot_be_published_is_told_with_its_places(api: Api) -> None:
    """As a problem document."""
    answer = api.ask("POST", "/v1/publish", {"items": ["golden"]})
    said = answer.json()
    assert (answer.status_code, said["type"]) == (422, "urn:tiergate:problem:invalid-files")
    assert said["errors"][0]["code"] == "unknown-item"


@pytest.mark.parametrize(
    ("rollout", "pointer"),
    [
        ({"audience": {"share": 100.001}}, "/rollout/audience/share"),
        ({"audience": {"share": 1, "tag": "a"}}, "/rollout/audience"),
        ({"audience": {"tag": "not a tag"}}, "/rollout/audience/tag"),
        ({"audience": "somebody"}, "/rollout/audience"),
        ({"from": "tomorrow"}, "/rollout/from"),
    ],
)
def test_a_rollout_is_read_strictly(api: Api, rollout: dict[str, Any], pointer: str) -> None:
    """What it means is never guessed."""
    api.draft(60)
    status, name, errors = problem(api.ask("POST", "/v1/publish", {"rollout": rollout}))
    assert (status, name, [at for at, _ in errors]) == (422, "invalid-body", [pointer])


def test_a_version_is_given_to_a_share_and_widened(api: Api) -> None:
    """Narrowing it again needs `narrow`."""
    api.draft(60)
    api.ask("POST", "/v1/publish", {"rollout": {"audience": {"share": 12.5}}})
    path = "/v1/items/gold/rollouts"
    shown = api.ask("GET", path)
    assert shown.json() == {
        "rollouts": [{"version": 1}, {"version": 2, "audience": {"share": 12.5}}],
        "versions": [1, 2],
    }
    wider = api.ask("POST", path, {"version": 2, "audience": {"share": 50}}, if_match=shown.headers["etag"])
    assert wider.status_code == 201
    assert api.ask("POST", path, {"version": 2}, if_match=shown.headers["etag"]).status_code == 412
    narrow = {"rollouts": [{"version": 1}, {"version": 2, "audience": {"share": 10}}]}
    assert problem(api.ask("PUT", path, narrow))[:2] == (409, "rollout-narrowed")
    assert api.ask("PUT", path, {**narrow, "narrow": True}).status_code == 201


def test_rolling_back_says_to_what(api: Api) -> None:
    """The list of publications tells the story, the latest first."""
    api.draft(60)
    api.ask("POST", "/v1/publish")
    preview = api.ask("POST", "/v1/publications/1/rollback", {"dry_run": True})
    answer = api.ask("POST", "/v1/publications/1/rollback", {"note": "too many"})
    assert (answer.status_code, answer.json()["revision"]) == (201, preview.json()["revision"])
    first = api.ask("GET", "/v1/publications?limit=1").json()
    assert [(it["publication"], it["rolled_back_to"]) for it in first["items"]] == [(3, 1)]
    rest = api.ask("GET", f"/v1/publications?cursor={first['next']}").json()
    assert ([it["publication"] for it in rest["items"]], rest["next"]) == ([2, 1], None)
    assert api.ask("POST", "/v1/publications/9/rollback").status_code == 404
    assert api.ask("GET", "/v1/publications/x").status_code == 404


def test_a_feature_is_suspended_and_resumed(api: Api) -> None:
    """Each by a publication of its own, in the audit log with its reason."""
    path = "/v1/features/movies/suspensions"
    answer = api.ask("POST", path, {"until": "2030-01-01T00:00:00Z", "reason": "outage"})
    assert (answer.status_code, changed(answer)) == (201, [("feature", "movies", "changed")])
    assert api.ask("GET", path).json()["items"] == [{"number": 1, "until": "2030-01-01T00:00:00Z", "reason": "outage"}]
    assert api.ask("DELETE", f"{path}/2").status_code == 404
    assert api.ask("DELETE", f"{path}/1").status_code == 201
    assert (api.ask("GET", path).json()["items"], api.press.sequence) == ([], 3)
    empty = {"from": "2030-01-01T00:00:00Z", "until": "2030-01-01T00:00:00Z"}
    assert problem(api.ask("POST", path, empty)) == (422, "invalid-body", [("/until", "empty-period")])
    assert {"feature.suspended", "feature.resumed"} <= set(api.audit())


def test_rules_are_drafted_and_checked(api: Api) -> None:
    """A file with problems is kept, and cannot be published."""
    assert api.ask("PUT", "/v1/rules/policies/eu", {"text": "permit ("}).status_code == 201
    assert api.ask("POST", "/v1/rules/check").json()["problems"][0]["file"] == "rules/eu.cedar"
    assert api.ask("POST", "/v1/publish").status_code == 422
    etag = api.ask("GET", "/v1/rules/policies/eu").headers["etag"]
    assert api.ask("PUT", "/v1/rules/policies/eu", {"text": RULE}, if_match='"9"').status_code == 412
    assert api.ask("PUT", "/v1/rules/policies/eu", {"text": RULE}, if_match=etag).status_code == 200
    assert api.ask("POST", "/v1/rules/check").json()["problems"] == []
    assert changed(api.ask("POST", "/v1/publish")) == [("rule", "policies/eu", "added")]
    assert [(it["kind"], it["name"]) for it in api.ask("GET", "/v1/rules").json()["items"]] == [("policies", "eu")]
    assert api.ask("DELETE", "/v1/rules/policies/eu").status_code == 204
    assert changed(api.ask("POST", "/v1/publish")) == [("rule", "policies/eu", "removed")]
    assert api.ask("PUT", "/v1/rules/verses/eu", {"text": RULE}).status_code == 404


def test_a_publisher_publishes_no_rules(api: Api) -> None:
    """Nor sees any: unasked they are left out, asked for they are refused; applying and rolling back likewise."""
    api.ask("PUT", "/v1/rules/policies/eu", {"text": RULE})
    api.draft(60)
    assert changed(api.ask("GET", "/v1/pending", role="publisher")) == [("item", "gold", "changed")]
    assert changed(api.ask("POST", "/v1/publish", role="publisher")) == [("item", "gold", "changed")]
    assert api.ask("POST", "/v1/publish", {"rules": ["policies/eu"]}, role="publisher").status_code == 403
    assert api.ask("POST", "/v1/publish", {"roles": True}, role="publisher").status_code == 403
    body = {"catalog": [{"name": "c.yaml", "text": CATALOG}], "rules": {"policies": {"eu": RULE}}}
    assert api.ask("POST", "/v1/apply", body, role="publisher").status_code == 403
    assert api.ask("POST", "/v1/publish").status_code == 201
    assert api.ask("POST", "/v1/publications/2/rollback", role="publisher").status_code == 403
    assert changed(api.ask("GET", "/v1/publications/3", role="publisher")) == []
    assert changed(api.ask("GET", "/v1/publications/3")) == [("rule", "policies/eu", "added")]
    assert api.ask("POST", "/v1/publications/2/rollback").status_code == 201


def test_a_publisher_resumes_nothing_that_was_suspended(api: Api) -> None:
    """Neither by going back to before, nor by a file that says otherwise, nor does it suspend anything so."""
    suspended = CATALOG.replace("type: quantity", "type: quantity, suspensions: [{reason: abuse}]", 1)
    assert suspended != CATALOG
    body = {"catalog": [{"name": "c.yaml", "text": suspended}]}
    assert api.ask("POST", "/v1/apply", body, role="publisher").status_code == 403
    api.draft(60)
    assert api.ask("POST", "/v1/publish").status_code == 201
    assert api.ask("POST", "/v1/features/movies/suspensions", {"reason": "a flaw"}).status_code == 201
    assert api.ask("POST", "/v1/publications/1/rollback", role="publisher").status_code == 201
    assert len(api.ask("GET", "/v1/features/movies/suspensions").json()["items"]) == 1
    pruned: dict[str, Any] = {"catalog": [{"name": "c.yaml", "text": CATALOG}], "prune": True}
    assert api.ask("POST", "/v1/apply", pruned, role="publisher").status_code == 403


def test_who_may_only_look_cannot_publish(api: Api) -> None:
    """Neither for real nor on trial."""
    for path in ("/v1/publish", "/v1/publications/1/rollback", "/v1/apply", "/v1/features/movies/suspensions"):
        assert api.ask("POST", path, {}, role="analyst").status_code == 403


def test_a_file_is_applied_and_exported(api: Api) -> None:
    """What export answers, applied elsewhere, changes nothing here."""
    text = CATALOG.replace("movies: 50", "movies: 55")
    body = {"catalog": [{"name": "catalog.yaml", "text": text}]}
    trial = api.ask("POST", "/v1/apply", {**body, "dry_run": True})
    assert (trial.status_code, api.press.sequence) == (200, 1)
    answer = api.ask("POST", "/v1/apply", body)
    assert (answer.status_code, answer.json()["changes"]) == (201, trial.json()["changes"])
    assert answer.json()["revision"] == trial.json()["revision"]
    said = api.ask("GET", "/v1/export?rules=true").json()
    assert "version: 2" in said["catalog"][0]["text"]
    again = api.ask("POST", "/v1/apply", {"catalog": said["catalog"], "rules": said["rules"], "prune": True})
    assert (again.status_code, again.json()["published"]) == (200, False)


def test_a_catalog_is_applied_as_an_object(api: Api) -> None:
    """Its problems have JSON Pointers; those of files have lines."""
    catalog = {
        "apiVersion": "tiergate/v1",
        "features": [{"id": "movies", "type": "quantity"}],
        "items": [{"id": "tiny", "kind": "plan", "entitlements": {"movie": 1}}],
    }
    status, name, errors = problem(api.ask("POST", "/v1/apply", {"catalog": catalog}))
    assert (status, name) == (422, "invalid-body")
    assert errors == [("/catalog/items/0/entitlements/movie", "unknown-feature")]
    text = CATALOG.replace("movies: 50", "movie: 50")
    answer = api.ask("POST", "/v1/apply", {"catalog": [{"name": "plans.yaml", "text": text}]})
    assert [(it["file"], it["line"]) for it in answer.json()["errors"]] == [("plans.yaml", 8)]
    catalog["items"] = []
    assert api.ask("POST", "/v1/apply", {"catalog": catalog}).json()["published"] is False


# ── going back, and on from there ────────────────────────────────────────────────────────────────────────────────────


def test_what_was_rolled_back_can_be_published_again(api: Api) -> None:
    """The pending list, the comparison, the item and the publication agree about a draft after a rollback."""
    api.draft(60)
    api.ask("POST", "/v1/publish")
    api.ask("POST", "/v1/publications/1/rollback")
    api.draft(60)
    difference = api.ask("GET", "/v1/items/gold/draft/diff").json()
    assert (difference["against"], [it["feature"] for it in difference["changes"]]) == (1, ["movies", "support"])
    assert changed(api.ask("GET", "/v1/pending")) == [("item", "gold", "changed")]
    assert api.ask("GET", "/v1/items/gold").json()["has_draft"] is True
    assert api.ask("GET", "/v1/items?has_draft=true").json()["items"] != []
    answer = api.ask("POST", "/v1/publish", {"items": ["gold"]})
    assert (answer.status_code, answer.json()["published"]) == (201, True)
    assert api.ask("GET", "/v1/items/gold/rollouts").json()["rollouts"] == [{"version": 2}]


def test_an_edit_after_a_rollback_does_not_bring_the_mistake_back(api: Api) -> None:
    """The draft begins with what is given now, and changes what it was edited for alone."""
    api.draft(60)
    api.ask("POST", "/v1/publish")
    api.ask("POST", "/v1/publications/1/rollback")
    assert api.ask("PUT", "/v1/items/gold/draft/entitlements/support", "phone").is_success
    answer = api.ask("POST", "/v1/publish")
    details = answer.json()["changes"][0]["details"]
    assert [it["path"] for it in details if it["path"].startswith("versions/3")] == ["versions/3/support"]


def test_a_draft_that_is_what_is_given_is_none(api: Api) -> None:
    """Neither pending, nor found by `has_draft`, nor published."""
    path = "/v1/items/gold/draft"
    api.ask("PUT", path, {"entitlements": {"analytics": True, "movies": 50, "support": "chat"}})
    assert api.ask("GET", path).status_code == 200
    assert api.ask("GET", "/v1/items/gold").json()["has_draft"] is False
    assert api.ask("GET", "/v1/items?has_draft=true").json()["items"] == []
    assert [it["id"] for it in api.ask("GET", "/v1/items?has_draft=false").json()["items"]] == ["extra", "free", "gold"]
    assert changed(api.ask("GET", "/v1/pending")) == []
    assert api.ask("POST", "/v1/publish", {"items": ["gold"]}).json()["published"] is False


def test_an_item_can_be_given_to_nobody(api: Api) -> None:
    """As a file that says `rollouts: []`; what it takes away must be meant, and an edit gives it to nobody again."""
    path = "/v1/items/gold/rollouts"
    assert problem(api.ask("PUT", path, {"rollouts": []}))[:2] == (409, "rollout-narrowed")
    assert api.ask("PUT", path, {"rollouts": [], "narrow": True}).status_code == 201
    shown = api.ask("GET", path).json()
    assert shown == {"rollouts": [], "versions": [1]}
    assert api.ask("PATCH", "/v1/items/gold", {"name": "Gold"}).is_success
    assert api.ask("POST", "/v1/publish").status_code == 201
    assert api.ask("GET", path).json() == shown
    assert api.ask("POST", path, {"version": 1}).status_code == 201


def test_an_id_that_was_published_keeps_its_type_and_its_kind(api: Api) -> None:
    """What would jam everybody's publishing later is refused when it is made, with the way out."""
    assert api.ask("POST", "/v1/features", {"id": "spare", "type": "switch"}).status_code == 201
    assert api.ask("POST", "/v1/items", {"id": "old", "kind": "plan", "entitlements": {"spare": True}}).is_success
    assert api.ask("POST", "/v1/publish").status_code == 201
    assert api.ask("DELETE", "/v1/items/old").status_code == 204
    assert api.ask("POST", "/v1/publish").status_code == 201
    assert api.ask("POST", "/v1/features/spare/archive").is_success
    assert api.ask("DELETE", "/v1/features/spare").status_code == 204
    assert api.ask("POST", "/v1/publish").status_code == 201
    refused = api.ask("POST", "/v1/features", {"id": "spare", "type": "quantity"})
    assert problem(refused)[:2] == (409, "type-changed")
    assert "choose another id" in refused.json()["detail"]
    refused = api.ask("POST", "/v1/items", {"id": "old", "kind": "addon", "entitlements": {}})
    assert problem(refused)[:2] == (409, "kind-published")
    assert api.ask("POST", "/v1/features", {"id": "spare", "type": "switch"}).status_code == 201


def test_a_scale_in_which_a_version_was_published_stays(api: Api) -> None:
    """Although nobody can reach the version now: it can come back."""
    api.ask("POST", "/v1/features", {"id": "gb", "type": "quantity", "scale": 1})
    api.ask("PUT", "/v1/items/gold/draft/entitlements/gb", 2)
    assert api.ask("POST", "/v1/publish").status_code == 201
    api.ask("DELETE", "/v1/items/gold/draft/entitlements/gb")
    assert api.ask("POST", "/v1/publish").status_code == 201
    assert problem(api.ask("PATCH", "/v1/features/gb", {"scale": 2}))[:2] == (409, "scale-mapped")
    api.ask("POST", "/v1/features/gb/archive")
    assert api.ask("DELETE", "/v1/features/gb").status_code == 204
    assert api.ask("POST", "/v1/publish").status_code == 201
    assert problem(api.ask("POST", "/v1/features", {"id": "gb", "type": "quantity"}))[:2] == (409, "scale-mapped")


# ── what was reviewed is what is published ───────────────────────────────────────────────────────────────────────────

EXPORTED = [{"name": "catalog.yaml", "text": CATALOG.replace("movies: 50", "movies: 55")}]


def review(api: Api, path: str = "/v1/publish", body: dict[str, Any] | None = None) -> tuple[str, str]:
    """A dry run's entity tag, quoted, and the revision that it says."""
    answer = api.ask("POST", path, {**(body or {}), "dry_run": True})
    assert answer.json()["etag"] == answer.headers["etag"]
    return answer.headers["etag"], answer.json()["revision"]


def outdated(answer: httpx.Response) -> bool:
    """Say whether a request was refused because it is not what was reviewed."""
    return (answer.status_code, answer.json()["type"]) == (412, "urn:tiergate:problem:precondition-failed")


def test_what_was_reviewed_is_published(api: Api) -> None:
    """By the entity tag of the dry run or of what is pending, by its revision, or by the publication in force."""
    for number, pick in enumerate(("tag", "pending", "revision", "sequence"), start=60):
        api.draft(number)
        tag, revision = review(api)
        assert api.ask("GET", "/v1/pending").headers["etag"] == tag
        given = {
            "tag": tag,
            "pending": f'"x", {tag}',
            "revision": f'"{revision}"',
            "sequence": f'"{api.press.sequence}"',
        }
        assert api.ask("POST", "/v1/publish", {}, if_match=given[pick]).status_code == 201


@pytest.mark.parametrize("pick", ["tag", "revision"])
def test_what_a_colleague_edits_meanwhile_is_not_published_unseen(api: Api, pick: str) -> None:
    """Nothing is: the answer has the tag of what would be now."""
    api.draft(60)
    tag, revision = review(api)
    seen = tag if pick == "tag" else f'"{revision}"'
    api.ask("PUT", "/v1/items/free/draft", {"entitlements": {"movies": 6}})
    refused = api.ask("POST", "/v1/publish", {"note": "reviewed"}, if_match=seen)
    assert outdated(refused)
    assert (api.press.sequence, refused.headers["etag"], refused.json()["etag"]) == (1, review(api)[0], review(api)[0])
    only = {"items": ["gold"]}
    assert outdated(api.ask("POST", "/v1/publish", {**only, "rollout": {"audience": {"share": 5}}}, if_match=seen))
    assert api.ask("POST", "/v1/publish", only, if_match=seen).status_code == 201


def test_what_a_bundle_does_not_show_is_reviewed_too(api: Api) -> None:
    """An edit of the roles makes the same bundle, and is not what was reviewed."""
    api.draft(60)
    tag, revision = review(api)
    api.press.edit_rule("roles", "roles", '@id("a")\npermit (principal in Role::"admin", action, resource);\n')
    other, same = review(api)
    assert (revision == same, tag == other) == (True, False)
    assert outdated(api.ask("POST", "/v1/publish", {}, if_match=tag))


def test_what_a_colleague_publishes_meanwhile_is_seen(api: Api) -> None:
    """The same edits on top of another publication were not reviewed."""
    api.draft(60)
    tag, _ = review(api)
    api.ask("POST", "/v1/features/movies/suspensions", {"until": "2030-01-01T00:00:00Z"})
    assert outdated(api.ask("POST", "/v1/publish", {}, if_match=tag))
    assert outdated(api.ask("POST", "/v1/publish", {}, if_match='"1"'))
    assert "publication 2 is" in api.ask("POST", "/v1/publish", {}, if_match=tag).json()["detail"]


@pytest.mark.parametrize("seen", ['"999"', "999", '"nonsense"', 'W/"1"', '"sha256:00"', '""', '"1-0"', ","])
@pytest.mark.parametrize("path", ["/v1/publish", "/v1/apply", "/v1/publications/1/rollback"])
def test_an_entity_tag_of_nothing_is_never_ignored(api: Api, seen: str, path: str) -> None:
    """Whatever form it has."""
    api.draft(60)
    api.ask("POST", "/v1/publish")
    body = {"catalog": EXPORTED} if path == "/v1/apply" else {}
    assert outdated(api.ask("POST", path, body, if_match=seen))
    assert api.press.sequence == 2


@pytest.mark.parametrize("path", ["/v1/apply", "/v1/publications/1/rollback"])
def test_files_and_rollbacks_are_what_was_reviewed(api: Api, path: str) -> None:
    """The tag of their own dry run holds until something else is in force."""
    api.draft(60)
    api.ask("POST", "/v1/publish")
    body: dict[str, Any] = {"catalog": EXPORTED} if path == "/v1/apply" else {}
    tag, revision = review(api, path, body)
    api.ask("POST", "/v1/features/movies/suspensions", {"until": "2030-01-01T00:00:00Z"})
    assert outdated(api.ask("POST", path, body, if_match=tag))
    assert outdated(api.ask("POST", path, body, if_match=f'"{revision}"'))
    tag, revision = review(api, path, body)
    assert api.ask("POST", path, body, if_match=tag).status_code == 201


def test_rollouts_and_suspensions_are_what_was_reviewed(api: Api) -> None:
    """By the tag of their dry run, which has no effect; or by that of the item or the feature."""
    api.draft(60)
    api.ask("POST", "/v1/publish", {"rollout": {"audience": {"share": 10}}})
    for path, body in (
        ("/v1/items/gold/rollouts", {"version": 2}),
        ("/v1/features/movies/suspensions", {"until": "2030-01-01T00:00:00Z"}),
    ):
        before = api.press.sequence
        tag, _ = review(api, path, body)
        assert outdated(api.ask("POST", path, body, if_match='"1-00000000000000000000000000000000"'))
        assert api.ask("POST", path, body, if_match='"999"').status_code == 412
        assert api.press.sequence == before
        assert api.ask("POST", path, body, if_match=tag).status_code == 201
        assert outdated(api.ask("POST", path, body, if_match=tag))


def test_a_version_for_those_who_are_new_is_what_was_reviewed(api: Api) -> None:
    """It begins with the publication, at another instant than that of the dry run."""
    api.draft(60)
    body = {"rollout": {"audience": "new"}}
    tag, _ = review(api, body=body)
    assert api.ask("POST", "/v1/publish", body, if_match=tag).status_code == 201


def test_what_was_reviewed_is_published_once_by_its_key(api: Api) -> None:
    """The same request again gets the same answer, although something else is in force by now."""
    api.draft(60)
    tag, _ = review(api)
    first, again = (api.ask("POST", "/v1/publish", {}, if_match=tag, idempotency_key="k") for _ in range(2))
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert outdated(api.ask("POST", "/v1/publish", {}, if_match=tag))


def test_a_rollout_that_gives_nobody_anything_is_refused(api: Api) -> None:
    """A share of those who have the version already, or of none."""
    api.draft(60)
    api.ask("POST", "/v1/publish", {"rollout": {"audience": {"share": 50}}})
    path = "/v1/items/gold/rollouts"
    for audience in (
        {"share": 10},
        {
            "share": 50,
        },
    ):
        body = {"version": 2, "audience": audience, "from": "2030-01-01T00:00:00Z"}
        assert problem(api.ask("POST", path, body))[:2] == (409, "rollout-without-effect")
    assert problem(api.ask("POST", path, {"version": 2, "audience": {"share": 10}}))[:2] == (
        409,
        "rollout-without-effect",
    )
    assert problem(api.ask("POST", path, {"version": 2, "audience": {"share": 0}}))[:2] == (422, "invalid-body")
    assert api.ask("POST", path, {"version": 2, "audience": {"share": 50}}).json()["published"] is False
    assert api.ask("POST", path, {"version": 2, "audience": {"tag": "beta"}}).status_code == 201
    assert api.ask("POST", path, {"version": 2, "audience": {"share": 60}}).status_code == 201


# ── discarding what is edited ────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_edited_of_a_feature_can_be_discarded(api: Api) -> None:
    """It is as it is published then, with what is suspended; a second time there is nothing to discard."""
    before = api.ask("GET", "/v1/features/movies").json()
    etag = api.ask("PATCH", "/v1/features/movies", {"name": "Filme", "unit": "films"}).headers["etag"]
    assert api.ask("DELETE", "/v1/features/movies/draft", if_match='"999"').status_code == 412
    assert api.ask("DELETE", "/v1/features/movies/draft", if_match=etag).status_code == 204
    after = api.ask("GET", "/v1/features/movies").json()
    assert {**after, "etag": "", "updated_at": ""} == {**before, "etag": "", "updated_at": ""}
    assert changed(api.ask("GET", "/v1/pending")) == []
    assert api.ask("DELETE", "/v1/features/movies/draft").status_code == 404
    assert "edit.discarded" in api.audit()


def test_a_status_that_is_not_published_can_be_discarded(api: Api) -> None:
    """A feature that was archived, or a draft that was activated, is what it was."""
    api.ask("POST", "/v1/features", {"id": "later", "type": "switch", "status": "draft"})
    api.ask("POST", "/v1/publish")
    api.ask("POST", "/v1/features/later/activate")
    api.ask("POST", "/v1/features/movies/archive")
    for id_ in ("later", "movies"):
        assert api.ask("DELETE", f"/v1/features/{id_}/draft").status_code == 204
    assert changed(api.ask("GET", "/v1/pending")) == []


def test_what_drafts_rest_on_cannot_be_discarded_under_them(api: Api) -> None:
    """A level that a draft gives is there by an edit that is not published: the draft goes first."""
    api.ask("PATCH", "/v1/features/support", {"levels": ["email", "chat", "phone", "visit"]})
    api.ask("PUT", "/v1/items/gold/draft/entitlements/support", "visit")
    assert problem(api.ask("DELETE", "/v1/features/support/draft"))[:2] == (409, "level-mapped")
    assert api.ask("DELETE", "/v1/items/gold/draft").status_code == 204
    assert api.ask("DELETE", "/v1/features/support/draft").status_code == 204


def test_what_is_edited_of_an_item_can_be_discarded(api: Api) -> None:
    """Its own fields and its draft; its metadata, which does not wait for being published, stays."""
    api.draft(60)
    api.ask("PATCH", "/v1/items/gold", {"name": "Gold", "metadata": {"sku": "1"}})
    assert api.ask("DELETE", "/v1/items/gold/draft").status_code == 204
    found = api.ask("GET", "/v1/items/gold").json()
    assert (found.get("name"), found["metadata"], found["has_draft"]) == (None, {"sku": "1"}, False)
    assert changed(api.ask("GET", "/v1/pending")) == []
    assert api.ask("DELETE", "/v1/items/gold/draft").status_code == 404


def test_a_deletion_that_is_not_published_can_be_discarded(api: Api) -> None:
    """Of an item, with its rollouts, and of a feature."""
    assert api.ask("DELETE", "/v1/items/extra").status_code == 204
    assert api.ask("DELETE", "/v1/items/gold").status_code == 204
    assert problem(api.ask("DELETE", "/v1/items/extra/draft"))[:2] == (409, "unknown-item")
    for id_ in ("gold", "extra"):
        assert api.ask("DELETE", f"/v1/items/{id_}/draft").status_code == 204
    assert api.ask("GET", "/v1/items/extra").json()["rollouts"] == [{"version": 1}]
    api.ask("POST", "/v1/features", {"id": "spare", "type": "switch"})
    api.ask("POST", "/v1/publish")
    api.ask("POST", "/v1/features/spare/archive")
    assert api.ask("DELETE", "/v1/features/spare").status_code == 204
    assert api.ask("DELETE", "/v1/features/spare/draft").status_code == 204
    assert api.ask("GET", "/v1/features/spare").status_code == 200
    assert changed(api.ask("GET", "/v1/pending")) == []


def test_what_was_never_published_is_deleted_and_not_discarded(api: Api) -> None:
    """There is nothing to go back to."""
    api.ask("POST", "/v1/features", {"id": "new", "type": "switch"})
    assert problem(api.ask("DELETE", "/v1/features/new/draft"))[:2] == (409, "not-published")
    assert api.ask("DELETE", "/v1/features/nothing/draft").status_code == 404
    assert api.ask("DELETE", "/v1/items/nothing/draft").status_code == 404
