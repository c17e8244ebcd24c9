"""What a publication gives to customers of the store, and takes from them: found before it is in force.

Those who can be touched are asked about: a few in this process, many in one of their own, so that whoever else is
served meanwhile does not wait. What comes is a stream of lines of JSON: progress, single effects where they are wanted,
and at the end the tally with the token of the loss. Whether a publication is refused for it is `publisher`'s to say.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from tiergate import bundle
from tiergate.errors import StoreError
from tiergate.impact.preview.loss_analysis import can_reduce
from tiergate.impact.preview.loss_token import LossAccumulator, losses_of
from tiergate.impact.preview.preview import ImpactPreview
from tiergate.impact.preview.subject_effects import Impact, effect_data, impact_data
from tiergate.model.canonical_json import canonical_json
from tiergate.naming import version_ref
from tiergate.store.affected_records import changed_records, count_holders, holders

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tiergate.bundle import Bundle
    from tiergate.engine import BundleSource
    from tiergate.model import Catalog, Instant, Value
    from tiergate.store import ReadUnit, Store

ImpactLine = dict[str, Any]
"""`progress` (`examined`, `of`), `effect` (as `effect_data`), `error`, or `impact` (as `impact_data`) with `loss`."""

MAX_IN_PROCESS: Final = 2_000
"""Customers who are asked about in this process: a tenth of a second of its time."""

_MOST_CHANGED: Final = 2_000
_PROGRESS_EVERY: Final = 2_000
_TAKEN: Final = (
    ("loses", "loses it", "lose it"),
    ("less", "gets less", "get less"),
    ("other", "gets something else", "get something else"),
    ("unproved", "may lose something", "may lose something"),
)
_WEIGHER: Final = (sys.executable, "-P", "-m", "tiergate.publish.loss_worker")
_LAST_WORDS: Final = 2_000

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(ImpactLine, float_hook=Decimal).decode


class LossJob(msgspec.Struct, frozen=True):
    """What a process of its own is to do: the store's database, the folders of both bundles, from when on, or when."""

    database: str
    old: str
    new: str
    now: int
    at: int | None = None
    listing: bool = False


class _Known:
    """A bundle whose catalog is at hand: what its items give need not be read, and most of it is the same object."""

    def __init__(self, made: Bundle, catalog: Catalog) -> None:
        self.revision, self.index = made.revision, made.index
        self.text, self.paths = made.text, made.paths
        self._given = {
            version_ref(item.kind, item.id, one.version): one.entitlements
            for item in catalog.items.values()
            for one in item.versions
        }

    def definition(self, ref: str) -> Mapping[str, Value]:
        """The entitlements of a version."""
        return self._given[ref]


class LossEstimate:
    """A change of what is in force, ready to be weighed against the subjects of the store."""

    def __init__(
        self, old: tuple[Bundle, Catalog], new: tuple[Bundle, Catalog], now: Instant, at: Instant | None = None
    ) -> None:
        """Take both sides, with the catalogs that they were made of.

        `now` in UTC milliseconds; with `at`, that instant alone counts, else all from `now` on.

        Raises:
            BundleError: a bundle cannot be read.
        """
        self._old, self._new = old[0], new[0]
        self._now, self._at = now, at
        before, after = _Known(*old), _Known(*new)
        self._preview = ImpactPreview(before, after, now=now, at=at)
        self.can_take = can_reduce(before, after, self._preview.touched, now)

    def lines(self, store: Store, *, listing: bool = False) -> Iterator[ImpactLine]:
        """Weigh it: everything that is found, the tally last.

        Raises:
            StoreError: the store cannot be used.
            BundleError: a bundle cannot be read.
        """
        touched = self._preview.touched

        def count(unit: ReadUnit) -> int:
            return count_holders(unit.session, touched.items, touched.features)

        if not touched.features:
            yield {"impact": impact_data(Impact()), "loss": ""}
        elif store.read(count) <= MAX_IN_PROCESS:
            yield from stream_impact(store, self._preview, self._now, listing=listing)
        else:
            yield from self._apart(store, listing=listing)

    def tally(self, store: Store) -> ImpactLine:
        """Weigh it, for the tally alone, with the token of the loss as `loss`; raises as `lines`."""
        found: ImpactLine = {}
        for line in self.lines(store):
            if "impact" in line:
                found = {**line["impact"], "loss": line["loss"]}
        return found

    def takes_from_changed(self, unit: ReadUnit, position: int) -> bool:
        """Say whether it takes something from somebody of whom the feed has told since a position; in doubt, yes.

        Raises:
            BundleError: a bundle cannot be read.
        """
        records = changed_records(unit.session, position, _MOST_CHANGED)
        return records is None or any(it.effect.takes for record in records for it in self._preview.effects(record))

    def _apart(self, store: Store, *, listing: bool) -> Iterator[ImpactLine]:
        with tempfile.TemporaryDirectory(prefix="tiergate-weigh-") as folder:
            old, new = Path(folder, "old"), Path(folder, "new")
            for side, place in ((self._old, old), (self._new, new)):
                bundle.write_bundle({path: side.content(path) for path in side.paths()}, place)
            url = store.database.engine.url.render_as_string(hide_password=False)
            job = LossJob(url, str(old), str(new), self._now, self._at, listing)
            with _weigher(job) as lines:
                done = False
                for line in lines:
                    said = _decode(line)
                    if "error" in said:
                        raise StoreError(f"what a publication takes cannot be found: {said['error']}")
                    done = "impact" in said
                    yield said
            if not done:
                raise StoreError("what a publication takes cannot be found: its process ended early")


def stream_impact(store: Store, preview: ImpactPreview, now: Instant, *, listing: bool) -> Iterator[ImpactLine]:
    """Ask about all who can be touched, from `now` on.

    Raises:
        StoreError: the store cannot be used.
        BundleError: a bundle cannot be read.
    """
    touched, impact, lost = preview.touched, Impact(), LossAccumulator()
    with store.database.reading() as session:
        total = count_holders(session, touched.items, touched.features)
        for record in holders(session, touched.items, touched.features):
            effects = preview.effects(record)
            impact.count(effects)
            lost.add(record.customer.id, losses_of(effects, now))
            if listing:
                for effect in effects:
                    yield {"effect": effect_data(effect)}
            if not impact.examined % _PROGRESS_EVERY:
                yield {"progress": {"examined": impact.examined, "of": total}}
    yield {"impact": impact_data(impact), "loss": lost.token(_basis(preview, lost.features))}


def _basis(preview: ImpactPreview, features: Iterable[str]) -> Iterator[str]:
    """What says how much is lost beside the values: rules and features that are not the same on both sides."""
    if preview.touched.by_cedar:
        old, new = (_rules(side) for side in preview.sides)
        for path in sorted(old.keys() | new.keys()):
            if old.get(path) != new.get(path):
                yield from (path, repr(old.get(path)), repr(new.get(path)))
    for id_ in sorted(features):
        before, after = (side.index.features.get(id_) for side in preview.sides)
        if before != after:
            for feature in (before, after):
                plain = None if feature is None else replace(feature, name="", description="", tags=(), linked=())
                yield canonical_json(plain).decode()


def _rules(side: BundleSource) -> dict[str, str]:
    paths = (*side.paths("policies/rules/"), *side.paths("entities/rules/"))
    return {path: side.text(path) for path in paths}


def count_losing_customers(impact: ImpactLine | None) -> int:
    """How many customers lose something, or get less of it."""
    return 0 if impact is None else int(impact["customers"]["take"])


def describe_loss(impact: ImpactLine) -> str:
    """What is taken, in words: `3 customers would lose something or get less (movies: 1 loses it, 2 get less)`."""
    count = count_losing_customers(impact)
    parts = []
    for one in impact["features"]:
        said = [
            f"{found:,} {one_word if found == 1 else many_words}"
            for effect, one_word, many_words in _TAKEN
            if (found := max(one["customers"][effect], one["subscriptions"][effect]))
        ]
        if said:
            parts.append(f"`{one['feature']}`: {', '.join(said)}")
    shown = "; ".join(parts[:5]) + (f"; and {len(parts) - 5} more features" if len(parts) > 5 else "")
    return f"{count:,} {'customer' if count == 1 else 'customers'} would lose something or get less ({shown})"


@contextmanager
def _weigher(job: LossJob) -> Iterator[Iterator[bytes]]:
    """The lines that a process of its own says; it ends when the context does."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - the command is our own
            _WEIGHER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        with process:
            if process.stdin is None or process.stdout is None:
                raise StoreError("a process has no pipes")
            try:
                with suppress(BrokenPipeError):  # it ended without listening: what it said last tells why
                    process.stdin.write(msgspec.json.encode(job) + b"\n")
                    process.stdin.flush()  # and stays open: the process ends when this one is gone
                yield iter(process.stdout)
            finally:
                process.kill()
                with suppress(BrokenPipeError):  # what was left to be written
                    process.stdin.close()
        if process.returncode not in {0, -9}:
            errors.seek(0)
            said = errors.read()[-_LAST_WORDS:].decode(errors="replace").strip()
            raise StoreError(f"what a publication takes cannot be found: {said}")
