"""What cannot be read for a reason that is the machine's: refused with 503, and never denied."""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import sqlite3
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import CATALOG, Service, bundle, customer, get, post
from tests.wire import Connection
from tiergate.bundle import Bundle, write_bundle
from tiergate.engine import Evaluator
from tiergate.errors import BundleError, ReplicaError, UnreadableBundleError, UnreadableError, UnreadableReplicaError
from tiergate.sidecar.replica.sqlite_errors import replica_error, unreadable_reason
from tiergate.sidecar.state import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECK = {"subject": "acme", "feature": "movies"}


def on_disk(folder: Path) -> Service:
    """A sidecar whose bundle is read from disk, and nothing of it yet."""
    service = Service(customer("acme"), ready=False)
    service.publish(customer("acme"))
    compiled = bundle(CATALOG)
    write_bundle({path: compiled.content(path) for path in compiled.paths()}, folder / "bundle")
    opened = Bundle.open(folder / "bundle")
    engine = Evaluator(opened, service.subjects, publication=2)
    service.number += 1
    service.state.install(Generation(service.number, engine, 2, opened.revision, service.clock()))
    return service


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Take every descriptor that this process may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_nobody_is_denied_for_want_of_descriptors(tmp_path: Path) -> None:
    """A check, a batch, a list and an explanation are refused, and answered as soon as there are some again."""
    service = on_disk(tmp_path)
    asked = [post("/v1/check", CHECK), get("/v1/entitlements?subject=acme"), post("/v1/explain", CHECK)]
    with service.serve() as where, Connection(where.connect()) as connection:
        assert connection.ask(get("/nowhere")).status == 404  # accepted
        with no_descriptor_left():
            for request in asked:
                answer = connection.ask(request)
                problem = json.loads(answer.body)
                assert (answer.status, problem["type"]) == (503, "urn:tiergate:problem:cannot-decide")
                assert problem["detail"].endswith(": too many open files")
            both: list[dict[str, Any]] = [CHECK, {**CHECK, "feature": "unknown"}]
            results = json.loads(connection.ask(post("/v1/checks", {"checks": both})).body)["results"]
            assert [result["status"] for result in results] == [503, 404]
        for request in asked:
            assert connection.ask(request).status == 200


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EACCES, errno.ESTALE])
def test_what_the_system_does_not_give_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """It may be whole. Only what comes back by itself leaves what is on disk undoubted."""
    compiled = bundle(CATALOG)
    write_bundle({path: compiled.content(path) for path in compiled.paths()}, tmp_path / "bundle")
    opened = Bundle.open(tmp_path / "bundle")

    def refuse(*_: object, **__: object) -> int:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UnreadableBundleError) as caught:
        opened.content("catalog.json")
    assert caught.value.reason == os.strerror(error).lower()
    assert caught.value.transient is (error in {errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def test_a_file_that_is_gone_is_torn(tmp_path: Path) -> None:
    """Nothing that the machine lacks brings it back."""
    compiled = bundle(CATALOG)
    write_bundle({path: compiled.content(path) for path in compiled.paths()}, tmp_path / "bundle")
    opened = Bundle.open(tmp_path / "bundle")
    Path(tmp_path, "bundle", "catalog.json").unlink()
    with pytest.raises(BundleError) as caught:
        opened.content("catalog.json")
    assert not isinstance(caught.value, UnreadableError)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (sqlite3.SQLITE_CORRUPT, None),
        (sqlite3.SQLITE_NOTADB, None),
        (sqlite3.SQLITE_ERROR, None),
        (sqlite3.SQLITE_IOERR_SHORT_READ, None),
        (sqlite3.SQLITE_IOERR_READ, ("input/output error", False)),
        (sqlite3.SQLITE_CANTOPEN, ("a file cannot be opened", True)),
        (sqlite3.SQLITE_NOMEM, ("not enough memory", True)),
        (sqlite3.SQLITE_FULL, ("no space left", False)),
    ],
)
def test_sqlite_says_who_is_at_fault(code: int, reason: tuple[str, bool] | None) -> None:
    """The file, or the machine."""
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code
    assert unreadable_reason(error) == reason
    fault = replica_error(Path("r"), error)
    assert type(fault) is (ReplicaError if reason is None else UnreadableReplicaError)


def test_such_errors_cross_processes() -> None:
    """With all that they say."""
    for error in (UnreadableBundleError("a", "b", transient=True), UnreadableReplicaError("a", "b", transient=False)):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.transient) == (type(error), str(error), error.transient)
