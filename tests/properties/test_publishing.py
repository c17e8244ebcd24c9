"""Invariant 6, and what else publishing promises: a published version never changes, a failed publish changes nothing.

An applied file has the revision that compiling it has, and so has what is exported and applied elsewhere; compiling
what changed is compiling everything; and whatever races with publishing, no subscription holds what is not in force.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.properties.documents import Document, metered_catalogs
from tests.properties.engines import text_of
from tests.publishing import CATALOG, Press, opened
from tiergate.bundle import manifest_of
from tiergate.catalog import load_catalog_texts
from tiergate.compiler import compile_catalog
from tiergate.errors import CompileError, ConflictError, NotFoundError, PublishError, TiergateError
from tiergate.model import (
    BEGINNING,
    Amount,
    Audience,
    AudienceType,
    Catalog,
    Definition,
    Feature,
    FeatureType,
    Rules,
    SubscriptionItem,
    Suspension,
    Value,
)
from tiergate.publish import publication_plan, publication_writer
from tiergate.publish import publisher as publishing
from tiergate.publish.catalog_export import export_catalog
from tiergate.publish.changeset import ALL_EDITS, EditSelection
from tiergate.publish.immediate_planner import plan_pins, plan_resumption, plan_rollouts, plan_suspension
from tiergate.publish.incremental_compiler import IncrementalCompiler
from tiergate.publish.pending_planner import plan_pending_edits
from tiergate.publish.rollback_planner import plan_rollback
from tiergate.publish.rollouts import RolloutTarget
from tiergate.store import SYSTEM, Store, WriteUnit, shared_changes
from tiergate.store.blobs import put_blobs
from tiergate.store.shared_changes import SharedChanges
from tiergate.store.webhooks import WebhookSettings, add_webhook
from tiergate.store.working_catalog import read_working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.publish.publication_stages import PublishResult
    from tiergate.store import ReadUnit

FEW = settings(
    max_examples=max(5, settings.default.max_examples // 40) if settings.default else 5,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
EXTRA: dict[str, Value] = {"movies": Amount(7)}


def loaded(document: Document) -> Catalog:
    """The catalog that a document says."""
    return load_catalog_texts({"catalog.json": text_of(document).decode()}).catalog


@pytest.fixture
def press(store_url: str) -> Iterator[Press]:
    """A store on either database, with a small catalog in force, something pending and somebody who holds something."""
    with opened(store_url) as found:
        found.apply()
        found.hold("acme", SubscriptionItem("gold", version=1), "extra")
        found.draft("gold", EXTRA)
        found.edit_features(Feature(id="analytics", type=FeatureType.SWITCH, name="Analytics"))
        found.edit_rule("policies", "eu", '@id("a")\nforbid (principal, action, resource == Feature::"movies");\n')
        yield found


# ── a failed publish changes nothing ─────────────────────────────────────────────────────────────────────────────────


class BrokenError(Exception):
    """A failure that a test causes."""


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, times: int) -> Iterator[None]:
    """Have a function fail when it is called for the nth time; before, it does what it does."""
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def broken(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever it takes
        nonlocal calls
        calls += 1
        if calls == times:
            raise BrokenError
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, broken)
        yield


STEPS = {
    "reading the working state": (publication_plan, "validate_catalog", 1),
    "compiling": (IncrementalCompiler, "compile", 1),
    "locking the catalog": (publishing, "lock_catalog", 1),
    "locking the feed": (publishing, "read_head", 1),
    "writing the bundle": (publication_writer, "put_bundle", 1),
    "writing the blobs": (publication_writer, "put_blobs", 1),
    "writing the versions": (publication_writer, "write_versions", 1),
    "writing the items": (publication_writer, "update_published_items", 1),
    "writing the audit log": (WriteUnit, "audit", 1),
    "growing the feed": (SharedChanges, "_write_records", 1),
    "telling the webhooks": (shared_changes, "write_events", 1),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_publish_that_fails_changes_nothing(press: Press, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever step fails, the whole database is as before; and once more it works."""
    press.store.change(lambda unit: add_webhook(unit, WebhookSettings("https://hooks.example/")), SYSTEM)
    before = press.rows()
    owner, name, times = STEPS[step]
    with failing(monkeypatch, owner, name, times), pytest.raises(BrokenError):
        press.publish()
    assert press.rows() == before
    assert press.publish().sequence == 2


def test_a_publish_that_cannot_sign_changes_nothing(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signing comes last, under the lock of the feed."""
    before = press.rows()
    with failing(monkeypatch, press.publisher.signer, "sign", 1), pytest.raises(BrokenError):
        press.publish()
    assert press.rows() == before


def test_a_commit_that_fails_changes_nothing(press: Press) -> None:
    """As where the database is gone at the last moment."""
    before = press.rows()

    def run(work: Callable[[WriteUnit], PublishResult]) -> PublishResult:
        def broken(unit: WriteUnit) -> PublishResult:
            work(unit)
            unit.session.flush()
            raise BrokenError

        return press.store.change(broken, SYSTEM)

    with pytest.raises(BrokenError):
        press.publisher.publish(plan_pending_edits(), run)
    assert press.rows() == before


def test_a_publish_that_always_loses_changes_nothing_of_its_own(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is overtaken every time gives up, and says so; what the others did stays."""
    monkeypatch.setattr(publishing, "_ATTEMPTS", 4)

    def overtaken(work: Callable[[WriteUnit], PublishResult]) -> PublishResult:
        suspensions = press.catalog.features["movies"].suspensions
        press.publish_plan(plan_suspension("movies", Suspension("", BEGINNING, len(suspensions) + 1)))
        return press.store.change(work, SYSTEM)

    with pytest.raises(TiergateError, match="too busy"):
        press.publisher.publish(plan_pending_edits(), overtaken)
    assert press.item("gold").draft == EXTRA
    assert press.versions("gold") == [1]


def test_what_is_refused_changes_nothing(press: Press) -> None:
    """Refusals by the edit rules, by the compiler, and by what subjects hold."""
    press.draft("free", {"movies": Amount(10**18 + 1)})
    press.edit_rule("policies", "us", "nonsense")
    before = press.rows()
    with pytest.raises(PublishError):
        press.publish()
    with pytest.raises(PublishError):
        press.publish(EditSelection(frozenset(), frozenset(), frozenset({"policies/us"}), roles=False))
    with pytest.raises(PublishError):
        press.apply(CATALOG[: CATALOG.index("  - {id: extra")], prune=True)
    assert press.rows() == before


# ── a published version never changes ────────────────────────────────────────────────────────────────────────────────


def steps(press: Press, random: Random) -> Iterator[Callable[[], object]]:
    """Things that may be done to a store, in a random order; some of them are refused."""
    ids, names = ("free", "gold", "extra"), ("analytics", "movies")
    while True:
        id_, name, number = random.choice(ids), random.choice(names), random.randint(1, 4)
        whom = random.choice(
            [RolloutTarget(), RolloutTarget(Audience(AudienceType.SHARE, share=2500)), RolloutTarget(start=1)]
        )
        options: list[Callable[[], object]] = [
            partial(press.draft, id_, {"movies": Amount(number)}),
            partial(press.edit_features, Feature(id="analytics", type=FeatureType.SWITCH, name=f"Name {number}")),
            partial(press.publish, ALL_EDITS, **{id_: whom}),
            partial(press.publish_plan, plan_rollback(random.randint(1, 8))),
            partial(press.publish_plan, plan_pins({id_: [number]})),
            partial(press.publish_plan, plan_rollouts(id_, lambda old, _: old[-1:], may_narrow=True)),
            partial(press.publish_plan, plan_suspension(name, Suspension(reason=str(number)))),
            partial(press.publish_plan, plan_resumption(name, 1)),
            partial(press.apply, CATALOG.replace("movies: 50", f"movies: {number}"), prune=number == 4),
        ]
        yield random.choice(options)


@FEW
@given(seed=st.integers(0, 2**32))
def test_published_versions_never_change(sqlite_template: Any, tmp_path_factory: Any, seed: int) -> None:  # noqa: ANN401
    """Whatever is done, a version is what it was, publications stay, and bundles hold all that can be reached."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    with opened_new(f"sqlite:///{path}") as press:
        press.apply()
        press.hold("acme", SubscriptionItem("gold", version=1))
        known: dict[tuple[str, int], Definition] = {}
        written: dict[str, set[tuple[object, ...]]] = {"publication": set(), "item_version": set(), "feed": set()}
        for step, _ in zip(steps(press, Random(seed)), range(12), strict=False):
            with suppress(ConflictError, NotFoundError, PublishError):
                step()
            rows = press.rows()
            for table, before in written.items():
                assert before <= set(rows[table])
                before.update(rows[table])
            for item in press.catalog.items.values():
                numbers = {it.version for it in item.versions}
                assert {it.version for it in item.rollouts} <= numbers
                assert item.id != "gold" or 1 in numbers
                for definition in item.versions:
                    assert known.setdefault((item.id, definition.version), definition) == definition
            assert_consistent(press)


@contextmanager
def opened_new(url: str) -> Iterator[Press]:
    """Open a store that was copied from the template."""
    Store.open(url, migrating=True).close()
    with opened(url) as press:
        yield press


def assert_consistent(press: Press) -> None:
    """The working rollouts are those in force, and the bundle in force is the one that its catalog compiles to."""
    catalog, rules, revision = press.store.read(lambda unit: in_force(press, unit))
    working = press.store.read(lambda unit: read_working(unit.session)).items
    for id_, item in catalog.items.items():
        assert working[id_].rollouts == item.rollouts
    assert manifest_of(compile_catalog(catalog, rules)).revision == revision


def in_force(press: Press, unit: ReadUnit) -> tuple[Catalog, Rules, str]:
    """The catalog and the rules in force, and the revision."""
    standing = press.publisher.published_state(unit)
    return standing.catalog, standing.rules, standing.revision


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@FEW
@given(document=metered_catalogs())
def test_an_applied_file_has_the_revision_of_its_compilation(
    sqlite_template: Any,  # noqa: ANN401 - a path
    tmp_path_factory: Any,  # noqa: ANN401 - pytest's own
    document: Document,
) -> None:
    """Applied again it changes nothing; exported and applied elsewhere, it is the same revision."""
    compiled = manifest_of(compile_catalog(loaded(document))).revision
    folder = tmp_path_factory.mktemp("stores")
    for name in ("one", "two"):
        (folder / name).write_bytes(sqlite_template.read_bytes())
    with opened_new(f"sqlite:///{folder}/one") as one, opened_new(f"sqlite:///{folder}/two") as two:
        assert one.apply(text_of(document).decode()).revision == compiled
        assert not one.apply(text_of(document).decode(), prune=True).is_new
        text = export_catalog(one.catalog, private=True)
        assert two.apply(text).revision == compiled
        assert not two.apply(text, prune=True).is_new
        assert not one.publish().is_new


# ── only what changed ────────────────────────────────────────────────────────────────────────────────────────────────


@FEW
@given(documents=st.lists(metered_catalogs(), min_size=2, max_size=4), random=st.randoms(use_true_random=False))
def test_compiling_what_changed_is_compiling_everything(documents: list[Document], random: Random) -> None:
    """After any sequence of catalogs, some of which share features and items with the one before."""
    compiler = IncrementalCompiler()
    before = loaded(documents[0])
    for document in documents:
        catalog = loaded(document)
        for mixed in (catalog, mixture(before, catalog, random), before):
            made = compiler.compile(mixed, Rules())
            files = compile_catalog(mixed)
            assert made.files == files
            assert made.manifest == manifest_of(files)
        before = catalog


def test_an_unchanged_version_of_a_removed_feature_is_a_problem(press: Press) -> None:
    """What was checked with a feature is checked again without it."""
    compiler = IncrementalCompiler()
    compiler.compile(press.catalog, Rules())
    features = {id_: it for id_, it in press.catalog.features.items() if id_ != "movies"}
    with pytest.raises(CompileError) as caught:
        compiler.compile(replace(press.catalog, features=features), Rules())
    assert {it.code for it in caught.value.problems} == {"unknown-feature"}
    assert len(caught.value.problems) == 3


def mixture(old: Catalog, new: Catalog, random: Random) -> Catalog:
    """The new catalog with other units of some features and with the old names of items: it can be compiled."""
    numbers = (FeatureType.QUANTITY, FeatureType.RANGE)
    features = {
        id_: replace(it, unit=random.choice([it.unit, "of another kind"])) if it.type in numbers else it
        for id_, it in new.features.items()
    }
    items = {id_: replace(it, name=old.items[id_].name if id_ in old.items else "") for id_, it in new.items.items()}
    return Catalog(features, items, new.ladders)


# ── races ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_subscription_holds_what_is_not_in_force(store_url: str) -> None:
    """While items come and go and versions are replaced, subjects are written by others, who pin and hold them."""
    with opened(store_url) as press:
        press.apply()
        errors: list[BaseException] = []
        stop = threading.Event()

        def publishing_() -> None:
            team = CATALOG + "  - {id: team, kind: plan, entitlements: {}}\n"
            for number in range(12):
                text = CATALOG if number % 2 else team
                with suppress(PublishError):  # the team is held
                    press.apply(text.replace("movies: 50", f"movies: {number}"), prune=True)
            stop.set()

        def holding(name: str) -> None:
            with opened(store_url) as own:
                for number in range(40):
                    if stop.is_set():
                        return
                    customer = f"{name}{number}"
                    hold_if_possible(own, customer, "team" if number % 3 == 0 else "gold", pin=number % 2 == 0)

        def guarded(work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - told by the test
                errors.append(error)
                stop.set()

        jobs = [publishing_, partial(holding, "a"), partial(holding, "b")]
        threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        held = press.rows()["held_item"]
        assert held
        for row in held:
            item = press.catalog.items[str(row[2])]
            assert row[4] is None or row[4] in {it.version for it in item.versions}


def test_a_pin_in_the_midst_of_publishing_is_not_lost(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever pins a version while a publication drops it, after all was proved, comes too late and sees it gone."""
    press.draft("free", EXTRA)
    pinning = threading.Thread(target=lambda: hold_if_possible(press, "globex", "free", pin=True))

    def interrupted(unit: WriteUnit, contents: dict[str, bytes]) -> None:
        pinning.start()
        pinning.join(0.5)  # it cannot end before this publication is in force
        put_blobs(unit, contents)

    monkeypatch.setattr(publication_writer, "put_blobs", interrupted)
    press.publish()
    pinning.join()
    pins = [row[4] for row in press.rows()["held_item"] if row[2] == "free"]
    assert (pins, press.versions("free")) == ([2], [2])


def hold_if_possible(press: Press, customer: str, item: str, *, pin: bool) -> None:
    """Write a subscription as the API does: by what is in force, in whose place no other publication came meanwhile."""

    def work(unit: WriteUnit) -> None:
        known = unit.published.index.items.get(item)
        if known is None:
            return
        version = known.versions[-1] if pin else None
        press.write_subject(unit, customer, (SubscriptionItem(item, version=version),))

    press.store.change(work, SYSTEM)
