"""The page on consistency and failure modes: its bounds are those in force, what it names exists."""

from __future__ import annotations

import inspect
import re

from tests.docs.pages import ROOT, spans
from tiergate.bundle.bundle import DEFAULT_KEPT_ENTITLEMENTS
from tiergate.bundle.trusted_feed import MAX_SKEW
from tiergate.catalog import quarantine
from tiergate.catalog.reading.files import MAX_FILE_BYTES
from tiergate.catalog.subject_file_reader import MAX_LINE_BYTES
from tiergate.engine.bounded_cache import CacheLimits
from tiergate.http.metrics import metrics_text
from tiergate.model import BEGINNING
from tiergate.sidecar import fast_path
from tiergate.sidecar.api import app
from tiergate.sidecar.decision_log import DecisionLog
from tiergate.sidecar.listener_limits import ListenerLimits
from tiergate.sidecar.metrics import Metrics, registry
from tiergate.sidecar.replica.disk_health import DiskReport
from tiergate.sidecar.replica.file_source import follower, source_copies
from tiergate.sidecar.replica.file_source.file_watch import CHECK_INTERVAL
from tiergate.sidecar.replica.file_source.loader_process import MAX_PROBLEMS
from tiergate.sidecar.replica.sync import control_plane_client, feed_follower
from tiergate.sidecar.settings import SETTINGS
from tiergate.sidecar.state import State, StatusReport
from tiergate.wire.check import MAX_CHECKS

PAGE = ROOT / "docs" / "explanation" / "consistency-and-failure-modes.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_bounds_on_the_page_are_in_force() -> None:
    """Each row of the table of bounds has the numbers of the code, and no row is missing or too many."""
    kept, wire, mib = CacheLimits(), ListenerLimits(), 2**20
    queue = inspect.signature(DecisionLog).parameters["capacity"].default
    expected = {
        "subjects kept by the engine": f"{kept.subjects:,} and {kept.subject_bytes // mib} MiB",
        "slices kept": f"{kept.slices:,} and {kept.slice_bytes // mib} MiB",
        "answers of Cedar kept": f"{kept.answers:,} and {kept.answer_bytes // mib} MiB",
        "decisions kept, with `always-ask-cedar` only": f"{kept.decisions:,} and {kept.decision_bytes // mib} MiB",
        "entitlements of item versions kept": f"{DEFAULT_KEPT_ENTITLEMENTS:,}",
        "remembered answers, and lists of entitlements": f"{app.DEFAULT_CACHE_BYTES // mib} MiB together",
        "remembered requests of each listener": f"{fast_path.DEFAULT_CACHE_BYTES // mib} MiB",
        "decision log, waiting to be written": f"{queue:,} records",
        "checks of one `POST /v1/checks`": f"{MAX_CHECKS:,}",
        "the head of a request": f"{wire.head_bytes // 2**10} KiB and {wire.head_fields} fields",
        "the body of a request": "`--max-body`",
        "connections": "`--max-connections`",
        "YAML or JSON file": (
            f"{MAX_FILE_BYTES // mib} MiB; subjects in NDJSON have no bound but {MAX_LINE_BYTES // mib} MiB for a line"
        ),
        "problems of one load in `/status`": f"{MAX_PROBLEMS}, and all are counted",
    }
    table = TEXT.partition("| what | bound |\n|---|---|\n")[2].partition("\n\n")[0]
    assert dict(re.findall(r"^\| (.+?) \| (.+?) \|$", table, re.MULTILINE)) == expected


def test_the_times_on_the_page_are_in_force() -> None:
    """When a file is read, looked at, and tried again is what the code does."""
    assert f"unchanged for {follower._SETTLE:g} s" in TEXT
    assert f"not changed for {follower._SETTLE:g} s" in TEXT
    assert CHECK_INTERVAL == 1
    assert f"tried again after {follower._FIRST_RETRY:g} s" in TEXT
    assert follower._LAST_RETRY == 60


def test_the_times_of_copies_on_the_page_are_in_force() -> None:
    """How often a file is tried, and when a file system that does not answer shows."""
    page = (PAGE.parent / "file-mode.md").read_text(encoding="utf-8")
    assert (source_copies._TRIES, follower._LONGEST_LOOK, follower._LONGEST_SETTLE) == (8, 10, 1)
    assert "up to eight times" in page
    assert "is one after ten seconds" in page
    assert "`load.error` says so after 10 s" in TEXT
    assert f"more customers set aside than {quarantine._ALWAYS:,} and a tenth of all" in page
    assert quarantine._SHARE == 10


def test_the_times_of_sync_on_the_page_are_in_force() -> None:
    """How old data gets, when a store is asked again, and when a silent one is given up."""
    defaults = {setting.name: setting.default for setting in SETTINGS}
    assert f"`--max-staleness`, {defaults['max-staleness']:g} s unless you choose" in TEXT
    assert f"every {feed_follower._LONGEST_WAIT:g} s, or every third of `--max-staleness`" in TEXT
    assert f"doubles up to {feed_follower._LAST_RETRY:g} s" in TEXT
    assert f"given up after {control_plane_client._SILENCE_SECONDS + feed_follower._LONGEST_WAIT:g} s at most" in TEXT
    assert f"up to {feed_follower._FRESH_EVERY / 1000:g} s older" in TEXT
    assert f"{MAX_SKEW / 60_000:g} minutes ahead" in TEXT


def test_the_metrics_on_the_page_exist() -> None:
    """Whatever it says to watch can be watched."""
    state = State(lambda: BEGINNING, lambda: StatusReport(mode="sync", behind=0, clock_skew=0))
    metrics = Metrics()
    metrics.data = lambda: DiskReport(PAGE, 0, 0, writable=True)
    shown = metrics_text(registry(metrics, state)).decode()
    named = {re.match(r"tiergate_\w+", span) for span in spans(PAGE)}
    assert {match[0] for match in named if match and f"# TYPE {match[0].removesuffix('_total')}" not in shown} == set()


def test_the_settings_on_the_page_exist() -> None:
    """Each flag that it names is one of the sidecar's."""
    named = {match[0] for span in spans(PAGE) if (match := re.match(r"--[a-z-]+", span))}
    assert named - {setting.flag for setting in SETTINGS} == set()
