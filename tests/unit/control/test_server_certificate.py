from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from tiergate.control.background_jobs import watch_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

PATIENCE = 30


def followed(files: list[Path], change: Callable[[], None], said: Iterable[bool]) -> int:
    """Follow these files, change them once, and count how often they were to be read until all was said."""
    answers = list(said)
    begun = len(answers)

    async def follow() -> None:
        done = asyncio.Event()

        def renew() -> bool:
            answer = answers.pop(0)
            if not answers:
                done.set()
            return answer

        task = asyncio.create_task(watch_certificate(files, renew, every=0.001))
        await asyncio.sleep(0)  # it has looked at them
        change()
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        for _ in range(5):  # and does not ask again
            await asyncio.sleep(0.001)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(follow())
    return begun - len(answers)


def pair(folder: Path) -> list[Path]:
    """Write a certificate and its key."""
    files = [folder / "tls.crt", folder / "tls.key"]
    for file in files:
        file.write_text("first", encoding="utf-8")
    return files


def test_a_changed_file_is_read_once(tmp_path: Path) -> None:
    """Whichever of the two it is."""
    for file in pair(tmp_path):
        assert followed(pair(tmp_path), lambda file=file: file.write_text("second"), [True]) == 1  # type: ignore[misc]


def test_files_that_do_not_fit_yet_are_read_again(tmp_path: Path) -> None:
    """Without another change: the one that was missing may have come in between."""
    files = pair(tmp_path)
    assert followed(files, files[0].unlink, [False, False, True]) == 3


def test_a_link_behind_a_link_is_followed(tmp_path: Path) -> None:
    """As the kubelet exchanges a Secret: what changes is the folder that the middle one leads to."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        pair(tmp_path / version)
    (tmp_path / "..data").symlink_to("one")
    files = [tmp_path / "tls.crt", tmp_path / "tls.key"]
    for file in files:
        file.symlink_to(f"..data/{file.name}")

    def exchange() -> None:
        (tmp_path / "new").symlink_to("two")
        os.replace(tmp_path / "new", tmp_path / "..data")  # noqa: PTH105 - of a link

    assert followed(files, exchange, [True]) == 1
