"""What a sidecar that follows makes of a store, or somebody on the way, that lies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.following import BETTER, Follow, files
from tests.signing import key
from tiergate.bundle import Head, manifest_of, write_archive
from tiergate.bundle.envelope import read_payload, sign
from tiergate.bundle.signed_statements import payload_type
from tiergate.feed.lines import head_line, read_head_line

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.sync_simulator import Simulator


def run(scenario: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a scenario to its end."""
    asyncio.run(scenario())


def forged(path: str, body: bytes) -> bytes:
    """The same page, its head signed by nobody who is trusted."""
    if path != "changes":
        return body
    *lines, last = body.splitlines()
    kind = payload_type(Head)
    head = sign(kind, read_payload(read_head_line(last), kind), [key("mallory")])
    return b"".join(line + b"\n" for line in (*lines, head_line(head)))


ATTACKS: dict[str, tuple[str, Callable[[str, bytes], bytes | int]]] = {
    "a page without its end": ("truncated", lambda path, body: body[:-40] if path == "changes" else body),
    "a better plan": ("broken_chain", lambda _, body: body.replace(b"silver", b"golden")),
    "another signature": ("unknown_key", forged),
    "no page": ("truncated", lambda path, body: b"<html>" if path == "changes" else body),
    "an error": ("status 500", lambda path, body: 500 if path == "changes" else body),
    "nobody is let in": ("status 401", lambda path, body: 401 if path == "changes" else body),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_page_that_was_tampered_with_changes_nothing(follow: Follow, simulator: Simulator, attack: str) -> None:
    """It is refused and said; what is in force goes on; and when the attack is over so is the trouble."""
    words, tamper = ATTACKS[attack]

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.tamper = tamper
            simulator.put("acme", "silver")
            await sidecar.failed(words)
            assert sidecar.limit("acme") == 50
            assert sidecar.report.status.sync_errors > 0
            simulator.tamper = lambda _, body: body
            await sidecar.at(5)
            assert sidecar.limit("acme") == 30
            await sidecar.until(lambda: sidecar.report.status.error is None)

    run(scenario)


BUNDLES: dict[str, tuple[str, Callable[[str, bytes], bytes | int]]] = {
    "torn": ("readable archive", lambda path, body: body[:-40] if path.startswith("bundles/") else body),
    "altered": (
        "bundle file",
        lambda path, body: body[:200] + b"XXXX" + body[204:] if path.startswith("bundles/") else body,
    ),
    "gone": ("404", lambda path, body: 404 if path.startswith("bundles/") else body),
}


@pytest.mark.parametrize("attack", BUNDLES)
def test_a_bundle_that_was_tampered_with_changes_nothing(follow: Follow, simulator: Simulator, attack: str) -> None:
    """The publication before stays in force, and the new one comes when its bundle does."""
    words, tamper = BUNDLES[attack]

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.tamper = tamper
            simulator.publish(files(BETTER))
            await sidecar.failed(words)
            assert (sidecar.publication, sidecar.limit("acme")) == (1, 50)
            simulator.tamper = lambda _, body: body
            await sidecar.at(5)
            assert (sidecar.publication, sidecar.limit("acme")) == (2, 20)

    run(scenario)


def test_a_pack_that_leaves_out_files_is_no_bundle(follow: Follow, simulator: Simulator) -> None:
    """Files that are neither in it nor held are missed before anything is committed."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            content = files(BETTER)
            manifest = manifest_of(content)
            nothing = write_archive(manifest, content, manifest)
            simulator.tamper = lambda path, body: nothing if path.startswith("bundles/") else body
            simulator.publish(content)
            await sidecar.failed("files that are not in the archive")
            assert (sidecar.publication, sidecar.limit("acme")) == (1, 50)

    run(scenario)


def test_a_bundle_that_cannot_be_decided_by_is_never_on_record(follow: Follow, simulator: Simulator) -> None:
    """It is signed and whole, and no policies: the one before stays, after a restart too."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.publish({path: it for path, it in files().items() if path != "catalog.json"})
            await sidecar.failed("catalog.json")
            assert sidecar.limit("acme") == 50
        async with follow("http://127.0.0.1:9") as sidecar:
            await sidecar.at(4)
            assert (sidecar.publication, sidecar.limit("acme")) == (1, 50)

    run(scenario)


SNAPSHOTS: dict[str, tuple[str, Callable[[str, bytes], bytes | int]]] = {
    "another manifest": (
        "wrong_hash",
        lambda path, body: body.replace(b'"customers":3', b'"customers":4') if path == "snapshot" else body,
    ),
    "one line": ("two lines", lambda path, body: body.splitlines()[0] if path == "snapshot" else body),
    "no head": ("begin with a head", lambda path, body: b"[]\n[]\n" if path == "snapshot" else body),
    "another page": ("wrong_hash", lambda path, body: bytes(len(body)) if path.startswith("snapshot/") else body),
    "a page too long": ("more than", lambda path, body: body + b"x" if path.startswith("snapshot/") else body),
    "a missing page": ("404", lambda path, body: 404 if path.startswith("snapshot/") else body),
}


@pytest.mark.parametrize("attack", SNAPSHOTS)
def test_a_snapshot_that_was_tampered_with_is_not_begun_with(follow: Follow, simulator: Simulator, attack: str) -> None:
    """Nothing is decided by it; the honest one is taken when it comes, and nothing unfinished stays on disk."""
    words, simulator.tamper = SNAPSHOTS[attack]

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.failed(words)
            assert not sidecar.state.ready
            simulator.tamper = lambda _, body: body
            await sidecar.at(4)
            assert sidecar.limit("acme") == 50
            assert len([path for path in (follow.folder / "sync").iterdir() if ".sqlite" in path.name]) == 3

    run(scenario)
