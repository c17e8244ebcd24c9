"""Many who wake together go on a few at a time, in their order, and leave others their turn."""

from __future__ import annotations

import asyncio

from tiergate.control.feed_api.wake_queue import WakeQueue


def test_a_few_go_on_at_a_time_and_others_in_between() -> None:
    """Whoever comes after the wave does not wait for its end."""

    async def wave() -> tuple[list[int], int]:
        pace, woken = WakeQueue(at_once=10), list[int]()
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(1000)]

        async def one(number: int) -> None:
            await futures[number]
            woken.append(number)

        tasks = [asyncio.create_task(one(number)) for number in range(1000)]
        await asyncio.sleep(0)
        pace.wake(futures)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        between = len(woken)
        await asyncio.gather(*tasks)
        return woken, between

    woken, between = asyncio.run(wave())
    assert woken == list(range(1000))
    assert 0 < between <= 20


def test_who_has_gone_away_is_passed_over() -> None:
    """As one whose time was over."""

    async def wave() -> list[bool]:
        pace, loop = WakeQueue(at_once=1), asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(3)]
        futures[1].cancel()
        pace.wake(futures)
        await futures[2]
        return [it.done() for it in futures]

    assert asyncio.run(wave()) == [True] * 3


def test_at_the_end_all_go_on_at_once() -> None:
    """Nobody waits for a turn then."""

    async def end() -> list[bool]:
        pace, loop = WakeQueue(at_once=1), asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(100)]
        pace.wake(futures)
        pace.wake_all()
        return [it.done() for it in futures]

    assert asyncio.run(end()) == [True] * 100
