from __future__ import annotations

from tiergate.sidecar.replica.sync.poll_pacing import PollPacer


def test_the_first_questions_after_a_quiet_while_do_not_wait() -> None:
    """What changes now and then is followed at once."""
    pace = PollPacer(burst=3, rate=2)
    assert [pace.delay(100.0) for _ in range(3)] == [0, 0, 0]
    assert [pace.delay(200.0) for _ in range(3)] == [0, 0, 0]


def test_under_a_stream_questions_come_at_a_steady_rate() -> None:
    """Whoever waits as long as it is told asks so many times a second and no more."""
    pace, now, asked = PollPacer(burst=3, rate=2), 0.0, 0
    while now < 60.0:
        now += pace.delay(now)
        asked += 1
    assert 2 * 60 <= asked <= 2 * 60 + 4


def test_one_who_asks_more_slowly_never_waits() -> None:
    """A change a second costs nobody any time."""
    pace = PollPacer(burst=1, rate=2)
    assert [pace.delay(float(second)) for second in range(50)] == [0] * 50
