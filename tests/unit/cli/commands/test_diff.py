"""`tiergate diff`: what changes in meaning between files, bundles, publications and what is pending."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.admin import serving
from tests.publishing import CATALOG, Press, opened
from tests.unit.cli.conftest import CATALOG as SAMPLE
from tiergate.control.api import apply_export, bundles, immediate_changes, items, publishing
from tiergate.control.feed_api.bundle_archives import BundleArchives
from tiergate.model import Amount, Level, Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.cli.conftest import Cli, Ran

PLAIN = """
apiVersion: tiergate/v1
features:
  - {id: movies, type: quantity, unit: movies/month}
  - {id: analytics, type: switch}
items:
  - {id: gold, kind: plan, entitlements: {movies: 50, analytics: true}}
  - {id: silver, kind: plan, entitlements: {movies: 20}}
"""
OTHERWISE = """
apiVersion: tiergate/v1
items:
  - id: silver
    kind: plan
    name: Silver
    versions:
      - {version: 4, entitlements: {movies: {value: 20.0, per: unit}, analytics: false}}
  - {id: gold, kind: plan, version: 7, entitlements: {analytics: true, movies: 50}}
features:
  - {id: analytics, type: switch}
  - {id: movies, type: quantity, unit: movies/month, combine: sum}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a catalog file."""

    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


def test_a_refactoring_is_proved_to_change_nothing(cli: Cli, write: Callable[[str, str], Path]) -> None:
    """Order, names, numbers of versions and ways to write a value are not differences, and it says what was decided."""
    ran = cli("diff", write("old.yaml", PLAIN), write("new.yaml", OTHERWISE), "--exit-code")
    assert ran.code == 0
    assert ran.out.splitlines()[-1].startswith("same meaning: ")
    assert "cases decided on both sides" in ran.out


def test_what_changes_is_told_by_item_and_feature(cli: Cli, write: Callable[[str, str], Path]) -> None:
    """With what is held before and after, and what kind of change that is."""
    new = PLAIN.replace("movies: 50, analytics: true", "movies: 60").replace("movies: 20", "movies: {add: 20}")
    ran = cli("diff", write("old.yaml", PLAIN), write("new.yaml", new), "--exit-code")
    assert ran.code == 1
    assert ran.out.splitlines()[:-1] == [
        "~ gold",
        "    analytics: on → nothing (loses)",
        "    movies: 50 movies/month → 60 movies/month (more)",
    ]


def test_a_feature_that_is_decided_otherwise_is_told_with_a_check(cli: Cli, write: Callable[[str, str], Path]) -> None:
    """What is said of it, and a check that shows it."""
    new = PLAIN.replace("unit: movies/month}", "unit: movies/month, caps: {per_user: 3}}")
    ran = cli("diff", write("old.yaml", PLAIN), write("new.yaml", new))
    assert ran.code == 0
    shown = "a check of movies user_used 3 by bearer (has no subscription; override replace 1): granted → cap_reached"
    assert ran.out.splitlines()[:-1] == [
        "~ feature movies",
        '    caps: nothing → {"per_user":3}',
        f"    such as {shown}",
    ]


def test_items_that_come_and_go_are_told(cli: Cli, write: Callable[[str, str], Path]) -> None:
    """With what a holder gets of them."""
    new = PLAIN.replace("id: silver", "id: bronze")
    ran = cli("diff", write("old.yaml", PLAIN), write("new.yaml", new))
    assert ran.out.splitlines()[:-1] == [
        "+ plan bronze",
        "    movies: nothing → 20 movies/month (gains)",
        "- plan silver",
        "    movies: 20 movies/month → nothing (loses)",
    ]


def test_a_rollout_that_is_to_come_is_told_with_its_instant(cli: Cli, write: Callable[[str, str], Path]) -> None:
    """And for whom it is."""
    versions = "versions: [{version: 1, entitlements: {movies: 20}}, {version: 2, entitlements: {movies: 30}}]"
    rollouts = "rollouts: [{version: 1}, {version: 2, from: 2027-01-01T00:00:00Z, audience: {tag: eu}}]"
    new = PLAIN.replace("entitlements: {movies: 20}", f"{versions}, {rollouts}")
    ran = cli("diff", write("old.yaml", PLAIN), write("new.yaml", new), "--at", "2026-11-21T00:00:00Z")
    line = (
        "    movies: 20 movies/month → 30 movies/month (more), with the tags eu, existing, "
        "from 2027-01-01T00:00:00.000Z"
    )
    assert ran.out.splitlines()[:2] == ["~ silver", line]
    later = cli("diff", write("old.yaml", PLAIN), write("new.yaml", new), "--at", "2027-02-01T00:00:00Z")
    assert later.out.splitlines()[1] == line.partition(", from")[0]


def test_a_rule_that_is_not_proved_is_said(cli: Cli, write: Callable[[str, str], Path], tmp_path: Path) -> None:
    """Arithmetic that is not read is said, and by which rule; what is compared with a number is proved."""
    law, other = tmp_path / "law", tmp_path / "other"
    rule = '@id("%s") forbid (principal, action == Action::"consume", resource) when { %s };'
    for folder, text in (
        (law, rule % ("big", "context.amount > 3") + rule % ("eu", "context.used * context.amount > 3")),
        (other, rule % ("large", "context.amount >= 4") + rule % ("eu", "context.used * context.amount >= 4")),
    ):
        folder.mkdir()
        (folder / "house.cedar").write_text(text, encoding="utf-8")
    file = write("old.yaml", PLAIN)
    ran = cli("diff", file, file, "--rules-old", law, "--rules-new", other, "--exit-code")
    assert ran.code == 1
    assert ran.out.splitlines()[:-1] == [
        "? movies: its rules have an unsupported condition: it reads `context.used` (rule/house/eu): not proved"
    ]
    assert ran.out.splitlines()[-1].startswith("no difference found, but equality is not proved: ")


def test_a_bundle_is_compared_with_the_files_that_it_was_made_of(cli: Cli, tmp_path: Path) -> None:
    """And has rules of its own."""
    made = tmp_path / "bundle"
    assert cli("compile", SAMPLE, "-o", made).code == 0
    assert cli("diff", made, SAMPLE, "--exit-code").code == 0
    refused = cli("diff", made, SAMPLE, "--rules-old", tmp_path)
    assert (refused.code, refused.err) == (
        2,
        f"error: setting `rules`: cannot be combined with `{made}`: a bundle has its own\n",
    )


def test_all_of_it_is_there_for_programs(cli: Cli, write: Callable[[str, str], Path]) -> None:
    """Numbers, kinds, the check that shows it, and how many cases were decided."""
    new = PLAIN.replace("movies: 20", "movies: 25")
    ran = cli("diff", write("old.yaml", PLAIN), write("new.yaml", new), "--json", "--at", "2026-11-21T00:00:00Z")
    said = json.loads(ran.out)
    assert (said["same"], said["differs"], said["unproved"]) == (False, True, [])
    first = said["differences"][0]
    assert {key: first[key] for key in ("item", "feature", "bearing", "everybody", "kind", "before", "after")} == {
        "item": "silver",
        "feature": "movies",
        "bearing": "one",
        "everybody": True,
        "kind": "more",
        "before": {"value": 20, "unit": "movies/month"},
        "after": {"value": 25, "unit": "movies/month"},
    }
    assert first["shown_by"]["at"] == "2026-11-21T00:00:00.000Z"
    assert {first["shown_by"][key] for key in ("reason_before", "reason_after")} == {"limit_reached", "granted"}
    assert said["cases"] > len(said["differences"])


@pytest.mark.parametrize(
    ("scope", "before", "after", "whom", "said"),
    [
        (
            "principal is Subscription",
            'principal.customer == "acme"',
            'principal.customer == "acme" && context.used > 3',
            "subscription acme.one of acme (",
            {"customer": "acme", "type": "subscription"},
        ),
        (
            'principal == Subscription::"sub-7"',
            'principal.customer == "acme"',
            'principal.customer == "ben"',
            "subscription sub-7 of ",
            {"subject": "sub-7"},
        ),
        ("principal", "context.used > 3", "context.used >= 0", "movies amount 1 used 0 by bearer (", {"used": 0}),
    ],
)
def test_a_check_is_told_with_all_that_decides_it(
    cli: Cli, write: Callable[[str, str], Path], tmp_path: Path, scope: str, before: str, after: str, whom: str,
    said: dict[str, object],
) -> None:  # fmt: skip
    """Whose a subscription is, which rules may name, and a number that is 0."""
    for name, condition in (("law", before), ("other", after)):
        (tmp_path / name).mkdir()
        rule = f'@id("r") forbid ({scope}, action == Action::"consume", resource) when {{ {condition} }};'
        (tmp_path / name / "house.cedar").write_text(rule, encoding="utf-8")
    asked = ("diff", write("c.yaml", PLAIN), tmp_path / "c.yaml")
    rules = ("--rules-old", tmp_path / "law", "--rules-new", tmp_path / "other")
    assert whom in cli(*asked, *rules).out
    turns = json.loads(cli(*asked, *rules, "--json").out)["turns"]
    assert any(said.items() <= it["shown_by"].items() for it in turns), turns


def test_a_check_is_told_with_its_instant_where_time_decides(
    cli: Cli, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """Also where that is the instant of the comparison, which nobody else knows; not where the time is all the same."""
    weekend = '@id("w") forbid (principal, action == Action::"consume", resource) when { context.weekday >= 6 };'
    for name, used in (("law", 9), ("other", 5)):
        (tmp_path / name).mkdir()
        rule = f'@id("r") forbid (principal, action == Action::"consume", resource) when {{ context.used >= {used} }};'
        (tmp_path / name / "house.cedar").write_text(rule, encoding="utf-8")
    asked = ("diff", write("c.yaml", PLAIN), tmp_path / "c.yaml", "--rules-old", tmp_path / "law", "--rules-new",
             tmp_path / "other", "--at", "2026-11-23T00:00:00Z")  # fmt: skip
    assert " at 2026" not in cli(*asked).out
    for name in ("law", "other"):
        (tmp_path / name / "weekend.cedar").write_text(weekend, encoding="utf-8")
    assert " at 2026-11-23T00:00:00.000Z: granted → rule_denied" in cli(*asked).out


def test_files_with_problems_are_told_as_everywhere(cli: Cli, broken: Path) -> None:
    """The comparison does not begin."""
    assert cli("diff", broken, SAMPLE).code == 3


def test_what_is_kept_needs_a_key_and_a_name(cli: Cli, tmp_path: Path) -> None:
    """Nothing is guessed."""
    ran = cli("diff", "published", SAMPLE)
    assert (ran.code, ran.err.partition(":")[0]) == (2, "error")
    assert "is required for `published`" in ran.err
    key = tmp_path / "key"
    key.write_text("admin", encoding="utf-8")
    ran = cli("diff", "publication:0", SAMPLE, "--key-file", key)
    assert ran.code == 2
    assert "must be `publication:17`" in ran.err


# ── of a control plane ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def press(sqlite_url: str) -> Iterator[Press]:
    """A store, empty."""
    with opened(sqlite_url) as found:
        yield found


@pytest.fixture
def remote(press: Press, cli: Cli, tmp_path: Path) -> Iterator[Callable[..., Ran]]:
    """The comparison with a control plane to ask, as an admin unless another role is named."""
    publisher = press.publisher
    endpoints = [
        *items.endpoints(),
        *publishing.endpoints(publisher),
        *immediate_changes.endpoints(publisher),
        *apply_export.endpoints(publisher),
        *bundles.endpoints(publisher, BundleArchives(press.store)),
    ]
    with serving(press.store, endpoints) as admin:

        def call(*args: str | Path, role: str = "admin") -> Ran:
            key = tmp_path / f"{role}.key"
            key.write_text(role, encoding="utf-8")
            return cli("diff", *args, "--control-plane", admin.url, "--key-file", key)

        yield call


def test_publications_are_compared(remote: Callable[..., Ran], press: Press) -> None:
    """By number, by revision, the one in force, and nothing before the first."""
    first = remote("published", "published")
    assert first.out.startswith("same meaning: ")
    press.apply()
    revision = press.store.read(press.publisher.published_state).revision
    press.apply(CATALOG.replace("movies: 50", "movies: 60"))
    for old in ("publication:1", f"revision:{revision}", revision):
        ran = remote(old, "published", "--exit-code")
        assert ran.code == 1
        assert "    movies: 50 → 60 (more)" in ran.out.splitlines()
    assert remote("publication:2", "published", "--exit-code").code == 0
    assert remote("publication:3", "published").code == 2


def test_a_file_is_compared_with_what_is_published(
    remote: Callable[..., Ran], press: Press, write: Callable[[str, str], Path]
) -> None:
    """Whatever the numbers of its versions."""
    press.apply()
    press.apply(CATALOG.replace("movies: 50", "movies: 60"))
    assert remote("published", write("c.yaml", CATALOG.replace("movies: 50", "movies: 60")), "--exit-code").code == 0


def test_what_is_pending_is_compared_before_it_is_published(remote: Callable[..., Ran], press: Press) -> None:
    """As publishing everything would make it; nothing is published by that."""
    press.apply()
    press.draft("gold", {"analytics": Switch(on=True), "movies": Amount(70), "support": Level("chat")})
    ran = remote("published", "pending")
    assert "    movies: 50 → 70 (more)" in ran.out.splitlines()
    assert press.sequence == 1


def test_who_may_not_see_rules_gets_no_bundle(remote: Callable[..., Ran], press: Press) -> None:
    """A bundle holds them."""
    press.apply()
    assert remote("published", "published", role="publisher").code == 2


def test_a_check_of_another_day_is_told_with_its_instant(
    cli: Cli, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """So that it can be asked again as it is told."""
    rule = '@id("day") forbid (principal, action, resource == Feature::"analytics") when { context.weekday == %d };'
    for name, day in (("old", 6), ("new", 7)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "house.cedar").write_text(rule % day, encoding="utf-8")
    file = write("catalog.yaml", PLAIN)
    folders = ("--rules-old", tmp_path / "old", "--rules-new", tmp_path / "new")
    ran = cli("diff", file, file, *folders, "--at", "2026-11-23T00:00:00Z")
    assert "by bearer (holds gold) at 2026-11-29T00:00:00.000Z: granted → rule_denied" in ran.out
    assert "by bearer (holds gold) at 2026-11-28T00:00:00.000Z: rule_denied → granted" in ran.out
