"""Signals that come where Python ignores what is raised."""

from __future__ import annotations

import subprocess
import sys

import pytest

_COLLECTS = """
import os, signal, time, weakref
from tiergate.process.termination import install_signal_handlers

class Thing:
    pass

def gone(_):
    os.kill(os.getpid(), signal.{signal})
    for _ in range(1000):
        pass

install_signal_handlers(serves={serves})
thing = Thing()
reference = weakref.ref(thing, gone)
del thing
time.sleep(30)
print("goes on", flush=True)
"""


_SUPPRESSES = """
import os, signal, time
from tiergate.process.termination import install_signal_handlers

install_signal_handlers(serves={serves})
try:
    os.kill(os.getpid(), signal.{signal})
    time.sleep(1)
except BaseException:
    pass
time.sleep(30)
print("goes on", flush=True)
"""

_SIGNALS = [("SIGTERM", True, 0), ("SIGINT", True, 0), ("SIGTERM", False, 143)]


@pytest.mark.parametrize(("signal", "serves", "code"), _SIGNALS)
def test_a_signal_is_not_lost_with_its_exception(signal: str, serves: bool, code: int) -> None:
    """Some libraries suppress all exceptions while they look for an attribute or an optional module."""
    program = _SUPPRESSES.replace("{signal}", signal).replace("{serves}", str(serves))
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (code, "", "")


@pytest.mark.parametrize(("signal", "serves", "code"), _SIGNALS)
def test_a_signal_during_a_finaliser_is_not_lost(signal: str, serves: bool, code: int) -> None:
    """The process ends, and says nothing of the finaliser."""
    program = _COLLECTS.replace("{signal}", signal).replace("{serves}", str(serves))
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (code, "", "")


@pytest.mark.parametrize(("signal", "serves", "code"), [("SIGTERM", False, 143), ("SIGINT", False, -2)])
def test_a_signal_that_nothing_handles_ends_the_process(signal: str, serves: bool, code: int) -> None:
    """The interpreter frees the exception when it ends, and must not wait for anything then."""
    program = (
        "import os, signal\n"
        "from tiergate.process.termination import install_signal_handlers\n"
        f"install_signal_handlers(serves={serves})\n"
        f"os.kill(os.getpid(), signal.{signal})\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert found.returncode == code


@pytest.mark.parametrize(
    ("signal", "command", "code"), [("SIGTERM", "up", 0), ("SIGTERM", "x", 143), ("SIGINT", "x", 130)]
)
def test_a_signal_is_known_in_the_error_that_wraps_it(signal: str, command: str, code: int) -> None:
    """Python raises a `RuntimeError` from whatever is raised while a class is made."""
    program = (
        "import os, signal, sys\n"
        f"sys.argv = ['tiergate', {command!r}]\n"
        "from tiergate.cli import invocation, main\n"
        "def dispatch(args):\n"
        "    try:\n"
        f"        os.kill(os.getpid(), signal.{signal})\n"
        "        sum(range(10_000))\n"
        "    except BaseException as error:\n"
        "        raise RuntimeError('Error calling __set_name__') from error\n"
        "invocation._dispatch = dispatch\n"
        "main()\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (code, "", "")
