"""Open files: what fits, and how a shortage shows."""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from tiergate.process.open_files import (
    DescriptorShortage,
    connection_limit,
    fit_to_limit,
    raise_open_files_limit,
)


@pytest.mark.parametrize(("limit", "room"), [(1024, 768), (256, 128), (64, 32), (20_000, 19_744)])
def test_what_is_kept_back_is_at_most_half_of_the_limit(limit: int, room: int) -> None:
    """A tiny limit is shared between connections and everything else."""
    assert connection_limit(limit, 256) == room


def test_a_setting_that_fits_is_kept_silently() -> None:
    """Nothing is logged where nothing is lowered."""
    with capture_logs() as logs:
        assert fit_to_limit(9_000, "max-connections", 4_096, times=2) == 4_096
    assert not logs


def test_a_setting_that_does_not_fit_is_lowered_and_said() -> None:
    """Two listeners share the room; the warning names the setting, what was wanted, and what is taken."""
    with capture_logs() as logs:
        assert fit_to_limit(768, "max-connections", 4_096, times=2) == 384
    assert [(log["setting"], log["wanted"], log["allowed"]) for log in logs] == [("max-connections", 4_096, 384)]


def test_a_shortage_is_logged_once_and_counted() -> None:
    """It is logged when it begins and when it ends, however often it is looked for."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    shortage = DescriptorShortage()
    with capture_logs() as logs, ExitStack() as stack:
        assert not shortage.check()
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        found = [shortage.check(), shortage.check()]
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert found == [True, True]
        assert not shortage.check()
    assert shortage.count == 1
    assert [log["log_level"] for log in logs] == ["error", "info"]


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    """In a process of its own, for it is the process's."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, min(before[1], 4096)))
        raised = raise_open_files_limit()
        os._exit(0 if resource.getrlimit(resource.RLIMIT_NOFILE)[0] == raised == min(before[1], 4096) else 1)
    assert os.waitpid(child, 0)[1] == 0
