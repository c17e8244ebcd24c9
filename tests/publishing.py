"""A store with a publisher, and short ways to edit, publish and hold things, for tests of publishing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from sqlalchemy import func, insert, select
from sqlmodel import SQLModel

from tests.signing import key
from tiergate.catalog import load_catalog_texts
from tiergate.model import Customer, Feature, Rules, Subscription, SubscriptionItem, SubscriptionStatus, Value
from tiergate.publish.apply_planner import ApplyRequest, plan_apply
from tiergate.publish.changeset import ALL_EDITS, EditSelection
from tiergate.publish.pending_planner import plan_pending_edits
from tiergate.publish.publisher import Publisher
from tiergate.publish.signer import Signer
from tiergate.store import SYSTEM, Store
from tiergate.store.policy_files import put_policy_file
from tiergate.store.publications import bundle_manifest
from tiergate.store.subject_writer import write_customer_parts, write_subscription_parts
from tiergate.store.tables import CUSTOMERS, SUBSCRIPTIONS
from tiergate.store.working_catalog import WorkingItem, delete_features, read_working, write_features, write_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.bundle import SigningKey
    from tiergate.model import Catalog, Override
    from tiergate.publish.publication_plan import Planner
    from tiergate.publish.publication_stages import PublishResult
    from tiergate.publish.rollouts import RolloutTarget
    from tiergate.store import ReadUnit, WriteUnit

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: analytics, type: switch}
  - {id: movies, type: quantity}
  - {id: support, type: custom, levels: [email, chat, phone]}
items:
  - {id: free, kind: plan, entitlements: {movies: 5}}
  - {id: gold, kind: plan, entitlements: {analytics: true, movies: 50, support: chat}}
  - {id: extra, kind: addon, available_for: [gold], entitlements: {movies: {add: 10}}}
"""
"""A catalog without numbers of versions."""


class Press:
    """A store and its publisher."""

    def __init__(self, store: Store, *keys: SigningKey) -> None:
        self.store = store
        self.publisher = Publisher(store, Signer(keys or (key(),)))

    # ── the working state ────────────────────────────────────────────────────────────────────────────────────────────

    def edit_features(self, *features: Feature) -> None:
        """Make the working features these."""
        self.store.change(lambda unit: write_features(unit, features), SYSTEM)

    def remove_feature(self, id_: str) -> None:
        """Take a feature out of the working catalog."""
        self.store.change(lambda unit: delete_features(unit.session, [id_]), SYSTEM)

    def edit_item(self, id_: str, **changes: Any) -> None:  # noqa: ANN401 - fields of an item
        """Change what is said of a working item."""
        self._write(id_, lambda it: it._replace(item=replace(it.item, **changes)))

    def draft(self, id_: str, entitlements: dict[str, Value]) -> None:
        """Draft what the next version of an item gives."""
        self._write(id_, lambda it: it._replace(draft=entitlements))

    def _write(self, id_: str, change: Callable[[WorkingItem], WorkingItem]) -> None:
        def work(unit: WriteUnit) -> None:
            write_items(unit, [change(read_working(unit.session, (), [id_]).items[id_])])

        self.store.change(work, SYSTEM)

    def item(self, id_: str) -> WorkingItem:
        """A working item."""
        return self.store.read(lambda unit: read_working(unit.session, (), [id_])).items[id_]

    def feature(self, id_: str) -> Feature:
        """A working feature."""
        return self.store.read(lambda unit: read_working(unit.session, [id_], ())).features[id_].feature

    def edit_rule(self, kind: str, name: str, text: str) -> None:
        """Draft a file of the rules, or the roles."""
        self.store.change(lambda unit: put_policy_file(unit, kind, name, text), SYSTEM)

    # ── publishing ───────────────────────────────────────────────────────────────────────────────────────────────────

    def publish_plan(self, planner: Planner) -> PublishResult:
        """Publish what is planned."""
        return self.publisher.publish(planner, lambda work: self.store.change(work, SYSTEM))

    def publish(self, choice: EditSelection = ALL_EDITS, **targets: RolloutTarget) -> PublishResult:
        """Publish what is pending, or what is chosen of it."""
        return self.publish_plan(plan_pending_edits(choice, targets=targets))

    def apply(self, text: str = CATALOG, rules: Rules | None = None, *, prune: bool = False) -> PublishResult:
        """Apply a catalog file."""
        name = "catalog.json" if text.lstrip().startswith("{") else "catalog.yaml"
        loaded = load_catalog_texts({name: text})
        return self.publish_plan(plan_apply(ApplyRequest(loaded, rules, prune)))

    @property
    def catalog(self) -> Catalog:
        """The catalog in force."""
        return self.store.read(lambda unit: unit.published).catalog

    @property
    def sequence(self) -> int:
        """The publication in force."""
        return self.store.read(lambda unit: unit.head().publication)

    def versions(self, id_: str) -> list[int]:
        """The versions of an item that the bundle in force holds."""
        return [it.version for it in self.catalog.items[id_].versions]

    def manifest(self, revision: str) -> bytes:
        """The manifest of a bundle."""
        return self.store.read(lambda unit: bundle_manifest(unit.session, revision))

    # ── subjects ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def hold(self, customer: str, *items: str | SubscriptionItem, overrides: tuple[Override, ...] = ()) -> None:
        """Write a customer with one subscription, called as the customer with `sub-` before, that holds these items."""
        held = tuple(it if isinstance(it, SubscriptionItem) else SubscriptionItem(it) for it in items)
        self.store.change(lambda unit: self.write_subject(unit, customer, held, overrides), SYSTEM)

    @staticmethod
    def write_subject(
        unit: WriteUnit, customer: str, held: tuple[SubscriptionItem, ...], overrides: tuple[Override, ...] = ()
    ) -> None:
        """Write a customer with one subscription, in a transaction of others."""
        times = {"etag": 1, "created_at": unit.now, "updated_at": unit.now}
        connection = unit.session.connection()
        connection.execute(insert(CUSTOMERS), [{"id": customer, "tags": "[]", "attributes": "{}", **times}])
        write_customer_parts(unit.session, Customer(customer, overrides=overrides))
        status = SubscriptionStatus.ACTIVE
        row = {"id": f"sub-{customer}", "customer": customer, "status": status.value, **times}
        connection.execute(insert(SUBSCRIPTIONS), [row])
        write_subscription_parts(unit.session, Subscription(f"sub-{customer}", customer, status, held))
        unit.touch(customer)

    # ── the whole database ───────────────────────────────────────────────────────────────────────────────────────────

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """Everything in the database, by table."""

        def work(unit: ReadUnit) -> dict[str, list[tuple[object, ...]]]:
            connection = unit.session.connection()
            return {
                table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
                for table in SQLModel.metadata.sorted_tables
            }

        return self.store.read(work)

    def count(self) -> dict[str, int]:
        """How many rows each table has."""
        tables = SQLModel.metadata.sorted_tables

        def work(unit: ReadUnit) -> dict[str, int]:
            connection = unit.session.connection()
            return {it.name: connection.execute(select(func.count()).select_from(it)).scalar_one() for it in tables}

        return self.store.read(work)


@contextmanager
def opened(url: str) -> Iterator[Press]:
    """Open a store with a publisher."""
    store = Store.open(url)
    try:
        yield Press(store)
    finally:
        store.close()
