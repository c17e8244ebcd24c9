"""Pools: what the usage of one window is taken from, and what is left of each (design, section 10).

A window has an allowance, which is the entitlement, and grants besides, of which one may be what the window before
rolled over. Usage above all of them is *overage*. Nothing here decides whether an amount is allowed. Rules:

1. Spent first is the allowance, then grants by priority (the lowest number first), then by the earlier end, then by id;
   `grants_first` spends the grants first, in the same order, and then the allowance.
2. A grant counts from its start until its end. What is left of it stays for later windows: it is used up, not reset.
3. What is above the limit is overage until there is room: a new grant, or a larger allowance, takes it over.
4. If the allowance falls below what was spent of it, that stays spent, and no grant pays for it. As long as the window
   lasts it counts against the limit, and grants are spent less far; then what is left of them is still there.
5. Units are given back in reverse: overage first, then the pool that is spent last. What comes back to a pool that has
   ended is lost; such pools get their units back after all others.
6. What is left of the allowance when a window ends, up to a maximum, is a grant for the next window. Late usage of the
   closed window cannot take these units again (`Pools.closing`).

Everything is an integer, in units of 10^-scale; nothing is ever negative, and no unit is lost or made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.model import BEGINNING, FOREVER, Instant, Interval, SpendOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALLOWANCE: Final = ""
"""The id of the pool that is the window's entitlement."""

OVERAGE: Final = "+"
"""The id of the pool above the limit."""

ROLLOVER: Final = "~rollover@"
"""How the id of a grant of what rolled over begins, before the start of the window it is from; no other id can."""

FIRST_PRIORITY: Final = 0
DEFAULT_PRIORITY: Final = 50
LAST_PRIORITY: Final = 100


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """Units that a customer has once for a metered quantity, from `start` until `until`.

    `amount`: 0 to 10^18. `priority`: `FIRST_PRIORITY`, spent first, to `LAST_PRIORITY`.
    """

    id: str
    amount: int
    start: Instant = BEGINNING
    until: Instant = FOREVER
    priority: int = DEFAULT_PRIORITY
    reason: str = ""

    def counts(self, at: Instant) -> bool:
        """Return whether its units can be spent at an instant."""
        return self.start <= at < self.until


class GrantPool(NamedTuple):
    """A grant, as one window sees it: how much of it this window has `drawn`, and how much other windows have."""

    grant: Grant
    drawn: int = 0
    elsewhere: int = 0

    @property
    def left(self) -> int:
        """Return the units that nobody has drawn, also before the grant's start and after its end."""
        return max(0, self.grant.amount - self.elsewhere - self.drawn)

    def room(self, at: Instant) -> int:
        """Return the units that can be drawn at an instant."""
        return self.left if self.grant.counts(at) else 0


class Part(NamedTuple):
    """Units that came from one pool: `ALLOWANCE`, `OVERAGE`, or a grant by its id."""

    pool: str
    units: int


class Pools(NamedTuple):
    """The pools of one window of one account. Immutable: methods that change something return other pools.

    `allowance`: `None` if it is unlimited. `spent`: units of the allowance, which may have fallen below it since.
    `overage`: units above the limit. `grants`: all that the customer has, or has drawn on in this window, in the order
    in which they are spent.
    """

    allowance: int | None
    spent: int = 0
    overage: int = 0
    grants: tuple[GrantPool, ...] = ()
    order: SpendOrder = SpendOrder.ALLOWANCE_FIRST

    @classmethod
    def of(
        cls,
        allowance: int | None,
        drawn: Mapping[str, int],
        grants: Iterable[tuple[Grant, int]] = (),
        order: SpendOrder = SpendOrder.ALLOWANCE_FIRST,
    ) -> Pools:
        """Make the pools of a window.

        `drawn`: units by pool, as `drawn` returns them. `grants`: each with the units that were drawn from it in all
        windows, this one included; every grant in `drawn` is among them.

        Raises:
            ValueError: if a drawn grant is missing, or less was drawn in all windows than in this one.
        """
        pools = [GrantPool(grant, drawn.get(grant.id, 0), total - drawn.get(grant.id, 0)) for grant, total in grants]
        unknown = drawn.keys() - {ALLOWANCE, OVERAGE} - {pool.grant.id for pool in pools}
        if unknown or any(pool.elsewhere < 0 for pool in pools):
            msg = f"the grants do not account for what was drawn: {sorted(unknown)}"
            raise ValueError(msg)
        pools.sort(key=_spending_order)
        return cls(allowance, drawn.get(ALLOWANCE, 0), drawn.get(OVERAGE, 0), tuple(pools), order)

    @property
    def used(self) -> int:
        """Return the units used in this window."""
        return self.spent + self.overage + sum(pool.drawn for pool in self.grants)

    @property
    def drawn(self) -> dict[str, int]:
        """Return the units that this window has drawn from each pool, without those that it has drawn nothing from."""
        parts = [(ALLOWANCE, self.spent), (OVERAGE, self.overage)]
        return {pool: units for pool, units in parts + [(pool.grant.id, pool.drawn) for pool in self.grants] if units}

    def limit(self, at: Instant) -> int | None:
        """Return the limit: the allowance, and what grants add in this window, spent or not; `None`: unlimited."""
        if self.allowance is None:
            return None
        return self.allowance + self.added(at)

    def added(self, at: Instant) -> int:
        """Return what grants add to the allowance in this window: what it has drawn, and what can still be drawn."""
        return sum(pool.drawn + pool.room(at) for pool in self.grants)

    def remaining(self, at: Instant) -> int | None:
        """Return how much can be used below the limit; `None`: any amount."""
        free = _free(self, at)
        return None if free is None else max(0, free - self.overage)

    def debit(self, units: int, at: Instant) -> Pools:
        """Take units (0 or more) out of the pools, in their order; what they do not have becomes overage."""
        settled = self.settle(at)
        free = _free(settled, at)
        taken = units if free is None else min(units, max(0, free))
        return _draw(settled, taken, at)._replace(overage=settled.overage + units - taken)

    def settle(self, at: Instant) -> Pools:
        """Take overage out of pools that have room now. Every debit does so first.

        Call it when a grant begins or grows, or the allowance changes, so that the grant pays even if it ends before
        the next debit. Limit, usage and what remains are the same before and after.
        """
        if not self.overage:
            return self
        free = _free(self, at)
        taken = self.overage if free is None else min(self.overage, max(0, free))
        return _draw(self._replace(overage=self.overage - taken), taken, at)

    def give_back(self, units: int, at: Instant) -> Pools:
        """Give units back to the pools that they came from, the last spent first.

        A correction of more than was used gives back what was used, and no more: compare `used` before and after.
        """
        overage = max(0, self.overage - units)
        open_units = units - (self.overage - overage)
        spent, grants = self.spent, list(self.grants)
        places = list(reversed(range(len(grants))))
        allowance = len(grants)
        going = [place for place in places if grants[place].grant.counts(at)]
        going.insert(len(going) if self.order is SpendOrder.ALLOWANCE_FIRST else 0, allowance)
        for place in going + [place for place in places if not grants[place].grant.counts(at)]:
            if place == allowance:
                returned = min(open_units, spent)
                spent -= returned
            else:
                returned = min(open_units, grants[place].drawn)
                grants[place] = grants[place]._replace(drawn=grants[place].drawn - returned)
            open_units -= returned
        return self._replace(spent=spent, overage=overage, grants=tuple(grants))

    def with_allowance(self, allowance: int | None, at: Instant) -> Pools:
        """Change the allowance, as a change of plan does: what was used stays as it is."""
        return self._replace(allowance=allowance).settle(at)

    def parts_since(self, before: Pools) -> tuple[Part, ...]:
        """Return what came out of each pool since then; negative where units were given back."""
        now, then = self.drawn, before.drawn
        changes = {pool: now.get(pool, 0) - then.get(pool, 0) for pool in now | then}
        return tuple(Part(pool, units) for pool, units in sorted(changes.items()) if units)

    def closing(self, rollover_max: int) -> int:
        """Return how many units of the allowance roll over when this window ends; none of an unlimited one.

        Usage that arrives later for this window has an allowance that is smaller by so many units.
        """
        return 0 if self.allowance is None else min(rollover_max, max(0, self.allowance - self.spent))

    def ended(self, before: Instant, at: Instant) -> tuple[Part, ...]:
        """Return the units that were lost because their grants ended after `before`, until `at`."""
        return tuple(
            Part(pool.grant.id, pool.left) for pool in self.grants if before < pool.grant.until <= at and pool.left
        )


def rollover_id(source: Instant) -> str:
    """Return the id of the grant of what rolled over from the window that starts at `source`."""
    return f"{ROLLOVER}{source}"


def rollover_source(id_: str) -> Instant:
    """Return the start of the window that rolled over, from the id of the grant of it."""
    return int(id_.removeprefix(ROLLOVER))


def rollover_grant(units: int, source: Instant, window: Interval) -> Grant:
    """Return the grant of what rolled over into a window from the one that starts at `source`.

    It is spent before other grants, and ends with the window. There is one for each window that rolled over, even if
    nothing was left: so nothing rolls over twice.
    """
    return Grant(rollover_id(source), units, window.start, window.until, FIRST_PRIORITY)


def _spending_order(pool: GrantPool) -> tuple[int, Instant, str]:
    return pool.grant.priority, pool.grant.until, pool.grant.id


def _free(pools: Pools, at: Instant) -> int | None:
    """Return what is left of all pools, less what was spent of an allowance that fell; negative if that is more."""
    if pools.allowance is None:
        return None
    return pools.allowance - pools.spent + sum(pool.room(at) for pool in pools.grants)


def _draw(pools: Pools, units: int, at: Instant) -> Pools:
    """Take units that the pools have."""
    if not units:
        return pools
    spent, open_units = pools.spent, units
    if pools.order is SpendOrder.ALLOWANCE_FIRST:
        taken = open_units if pools.allowance is None else min(open_units, max(0, pools.allowance - spent))
        spent += taken
        open_units -= taken
    grants = list(pools.grants)
    for place, pool in enumerate(grants):
        taken = min(open_units, pool.room(at))
        if taken:
            grants[place] = pool._replace(drawn=pool.drawn + taken)
            open_units -= taken
    # With `grants_first`, what the grants did not have; the allowance has it.
    return pools._replace(spent=spent + open_units, grants=tuple(grants))
