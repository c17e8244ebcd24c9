from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.serving import Service, customer
from tests.usage_service import CATALOG, counting
from tiergate.client import Sidecar
from tiergate.errors import CheckError, RequestError, UnknownFeatureError
from tiergate.model import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A client of a sidecar that counts usage."""
    with counting(tmp_path / "usage") as (_, where), Sidecar(where.url, timeout=10) as opened:
        yield opened


def test_a_consumption_is_true_if_it_was_counted(sidecar: Sidecar) -> None:
    """Its answer has the usage after it."""
    found = sidecar.consume("acme", "calls", amount=4)
    assert found
    assert (found.consumed, found.replayed, found.answer.entitlement.remaining) == (4, False, 6)
    denied = sidecar.consume("acme", "calls", amount=7)
    assert not denied
    assert (denied.consumed, denied.answer.reason) == (0, "limit_reached")


def test_a_call_has_a_key_of_its_own(sidecar: Sidecar) -> None:
    """Unless it is given one, with which it counts once."""
    first, second = sidecar.consume("acme", "calls"), sidecar.consume("acme", "calls")
    assert first.key != second.key
    assert sidecar.consume("acme", "calls", key=first.key).replayed
    with pytest.raises(RequestError) as raised:
        sidecar.consume("acme", "calls", amount=2, key=first.key)
    assert raised.value.status == 409


def test_a_block_commits_its_reservation(sidecar: Sidecar) -> None:
    """All of it, or what the block said."""
    with sidecar.reserve("acme", "calls", amount=3) as whole:
        assert whole
        assert sidecar.usage("acme", "calls")[0].reserved == 3
    with sidecar.reserve("acme", "calls", amount=3) as part:
        part.use(1)
    (usage,) = sidecar.usage("acme", "calls")
    assert (usage.used, usage.reserved, usage.remaining) == (4, 0, 6)


def test_a_block_that_raises_releases_its_reservation(sidecar: Sidecar) -> None:
    """And so does `release`."""
    with pytest.raises(ZeroDivisionError), sidecar.reserve("acme", "calls", amount=3):
        _ = 1 // 0
    with sidecar.reserve("acme", "calls", amount=3) as held:
        held.release()
    assert sidecar.usage("acme", "calls")[0].used == 0


def test_a_denied_reservation_is_false_and_ends_nothing(sidecar: Sidecar) -> None:
    """The block runs, so that it can look."""
    with sidecar.reserve("acme", "calls", amount=11, expires_in=5) as held:
        assert not held
        assert (held.answer.reason, held.id, held.expires_at) == ("limit_reached", "", None)
    for end in (held.commit, held.release):
        with pytest.raises(CheckError) as raised:
            end()
        assert raised.value.field == "/reservation"


def test_usage_after_the_fact_is_exact(sidecar: Sidecar) -> None:
    """In decimals too."""
    found = sidecar.report_usage("acme", "traffic", amount=Decimal("2.25"), key="k")
    assert (found.amount, found.replayed) == (Decimal("2.25"), False)
    assert sidecar.report_usage("acme", "traffic", amount=Decimal("2.25"), key="k").replayed
    (usage,) = sidecar.usage("acme", "traffic")
    assert (usage.used, usage.overage, usage.limit) == (Decimal("2.25"), Decimal("0.75"), Decimal("1.5"))
    with pytest.raises(RequestError) as raised:
        sidecar.report_usage("acme", "calls", at=datetime(2023, 1, 1, tzinfo=UTC))
    assert raised.value.status == 422
    with pytest.raises(CheckError):
        sidecar.report_usage("acme", "calls", at=datetime(2023, 1, 1))  # noqa: DTZ001 - that is the mistake


def test_the_usage_of_a_subject(sidecar: Sidecar) -> None:
    """Of all metered features, or of one; also of a user."""
    user = Subject("acme", user="u1")
    sidecar.consume(user, "reports", amount=2)
    assert [one.feature for one in sidecar.usage("acme")] == [
        "beds",
        "calls",
        "credits",
        "exports",
        "images",
        "reports",
        "traffic",
    ]
    (usage,) = sidecar.usage(user, "reports")
    assert (usage.user_used, usage.resets_at) == (2, datetime(2023, 12, 1, tzinfo=UTC))
    with pytest.raises(UnknownFeatureError):
        sidecar.usage("acme", "report")
    with pytest.raises(RequestError) as raised:
        sidecar.usage("nobody")
    assert raised.value.status == 404


def test_a_sidecar_that_does_not_count_is_no_failure_of_the_network() -> None:
    """Its operator must change a setting."""
    with Service(customer("acme"), catalog=CATALOG).serve() as where, Sidecar(where.url, timeout=10) as sidecar:
        with pytest.raises(RequestError) as raised:
            sidecar.consume("acme", "calls")
        assert raised.value.status == 501
        assert sidecar.no_answers == 0
