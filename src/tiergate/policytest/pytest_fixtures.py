"""The values of the pytest plugin's fixtures: catalogs compiled once, engines on them, and live sidecars.

A sidecar is its own process on free ports. It runs until the end of the run, is shared by all tests with the same
unchanged files, and follows them as any sidecar does. Leaves to others: which files (`plugin`).
"""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tiergate.bundle import Bundle
from tiergate.catalog import TotalBounds, read_subjects
from tiergate.client import Sidecar
from tiergate.engine import Evaluator
from tiergate.errors import AuthorError, OperatorError, ReplicaError, SettingsError
from tiergate.model import Customer
from tiergate.policytest.file_watch import file_stamps
from tiergate.policytest.subject_fixtures import SubjectFixtures
from tiergate.process.server_process import find_ports, start_server
from tiergate.process.termination import has_default_handler
from tiergate.publish import compile_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from tiergate.client import Explanation
    from tiergate.model import Catalog, Check
    from tiergate.policytest.file_watch import FileStamp
    from tiergate.process.server_process import ServerProcess

__all__ = ["CompiledFixture", "Files", "FixtureFactory", "LiveSidecar", "fail_on_error"]

_HOST = "127.0.0.1"
_TIMEOUT = 10.0
_ATTEMPTS = 3


@contextmanager
def fail_on_error() -> Iterator[None]:
    """Fail the test with the problems of its files, in place of a traceback through this package."""
    try:
        yield
    except AuthorError as error:
        raise pytest.fail.Exception("\n".join(map(str, error.problems)), pytrace=False) from None
    except OperatorError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


class Files(NamedTuple):
    """The input files: files or folders of a catalog and of subjects, and a folder of rules."""

    catalog: tuple[Path, ...] = ()
    subjects: tuple[Path, ...] = ()
    rules: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All paths."""
        return (*self.catalog, *self.subjects, *((self.rules,) if self.rules else ()))


class CompiledFixture(NamedTuple):
    """A catalog, and its bundle together with the rules."""

    catalog: Catalog
    bundle: Bundle


class LiveSidecar(NamedTuple):
    """A running sidecar: its URL, the URL of its probes, and a client."""

    url: str
    probe_url: str
    client: Sidecar
    process: ServerProcess

    @property
    def ask(self) -> Callable[[Check], bytes]:
        """Request a check: the client's method, so that `assert_decision` accepts this like a client."""
        return self.client.ask

    @property
    def explain(self) -> Callable[..., Explanation]:
        """Request an explanation: the client's method."""
        return self.client.explain


_Key = tuple[Files, tuple[tuple[str, "FileStamp | None"], ...]]


class FixtureFactory:
    """Creates the values of fixtures, each once. Not thread-safe.

    Problems of the files, and files that are not named, fail the test.
    """

    def __init__(self) -> None:
        self._compiled: dict[_Key, CompiledFixture] = {}
        self._engines: dict[_Key, Evaluator] = {}
        self._sidecars: dict[_Key, LiveSidecar] = {}
        self._ends = ExitStack()

    @fail_on_error()
    def compiled(self, files: Files) -> CompiledFixture:
        """Compile a catalog and rules."""
        key = _key(files._replace(subjects=()))
        if key not in self._compiled:
            _require("catalog", files.catalog)
            created = compile_files(files.catalog, files.rules)
            self._compiled[key] = CompiledFixture(created.catalog, Bundle.from_files(created.files))
        return self._compiled[key]

    @fail_on_error()
    def engine(self, files: Files) -> Evaluator:
        """Create an engine on the files."""
        key = _key(files)
        if key not in self._engines:
            catalog, bundle = self.compiled(files)
            _require("subjects", files.subjects)
            result = list(read_subjects(files.subjects, bundle.index, TotalBounds.of(catalog)))
            customers = [subject for subject in result if isinstance(subject, Customer)]
            subscriptions = [subject for subject in result if not isinstance(subject, Customer)]
            self._engines[key] = Evaluator(bundle, SubjectFixtures(customers, subscriptions))
        return self._engines[key]

    @fail_on_error()
    def sidecar(self, files: Files) -> LiveSidecar:
        """Start a sidecar on the files, and wait until it is ready."""
        key = _key(files)
        live = self._sidecars.get(key)
        if live is None or live.process.process.poll() is not None:
            self.engine(files)  # what is wrong with the files shows at once, not after a sidecar's patience
            live = self._sidecars[key] = self._start(files)
        return live

    def close(self) -> None:
        """Stop the sidecars."""
        self._ends.close()

    def _start(self, files: Files) -> LiveSidecar:
        if not self._sidecars:
            self._ends.enter_context(_ended_by_signals())
        arguments = [part for path in files.catalog for part in ("--catalog", str(path.resolve()))]
        arguments += [part for path in files.subjects for part in ("--subjects", str(path.resolve()))]
        arguments += ["--rules", str(files.rules.resolve())] if files.rules else []
        for attempt in range(_ATTEMPTS):
            port, probes = find_ports(0)
            listens = ["--host", _HOST, "--port", str(port), "--probe-host", _HOST, "--probe-port", str(probes)]
            with ExitStack() as starting:
                process = starting.enter_context(start_server([*arguments, *listens, "--log-format", "console"]))
                try:
                    process.wait_until_ready(probes)
                except ReplicaError:
                    # Another process may have taken a port between the claim and the start.
                    if attempt + 1 < _ATTEMPTS and "cannot listen" in process.hidden_log():
                        continue
                    raise
                url = f"http://{_HOST}:{port}"
                client = starting.enter_context(Sidecar(url, timeout=_TIMEOUT))
                self._ends.push(starting.pop_all())
                return LiveSidecar(url, f"http://{_HOST}:{probes}", client, process)
        raise AssertionError  # the last attempt returns or raises


def _key(files: Files) -> _Key:
    return files, tuple(file_stamps(files.paths).items())


def _require(setting: str, paths: tuple[Path, ...]) -> None:
    if not paths:
        raise SettingsError(
            f"tiergate_{setting}",
            f"name the files in pytest's configuration, or as `{setting}` of the marker `tiergate`",
        )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let unhandled SIGTERM and SIGHUP end the run in order, so that no sidecar is left running."""
    ending: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        ending = {
            entry: signal.getsignal(entry) for entry in (signal.SIGTERM, signal.SIGHUP) if has_default_handler(entry)
        }
    for number in ending:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number, handler in ending.items():
            signal.signal(number, handler)


def _leave(number: int, _: FrameType | None) -> None:
    pytest.exit(f"ended by {signal.Signals(number).name}", returncode=128 + number)
