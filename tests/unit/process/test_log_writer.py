from __future__ import annotations

import json
import os
import subprocess
import sys

FLOOD = """
import logging, sys, time
from tiergate.process.logs import configure_logs
configure_logs("json", "info")
began = time.monotonic()
for number in range(20_000):
    logging.getLogger("tiergate.x").info("line %d", number)
print(time.monotonic() - began, flush=True)
sys.stdin.readline()
logging.getLogger("tiergate.x").info("last")
"""


def test_who_logs_is_not_held_up_by_who_does_not_read() -> None:
    """Nor is the end of the process."""
    with subprocess.Popen(
        [sys.executable, "-c", FLOOD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert float(process.stdout.readline()) < 30
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(30) == 0
        assert process.stderr is not None
        process.stderr.close()


def test_what_was_dropped_is_said_once_somebody_reads() -> None:
    """In the form of any other line."""
    with subprocess.Popen(
        [sys.executable, "-c", FLOOD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr]
        assert process.wait(30) == 0
    events = [line["event"] for line in lines]
    dropped = [event for event in events if "log lines dropped" in event]
    assert events[0] == "line 0"
    assert sum(int(event.split()[0]) for event in dropped) == 20_001 - (len(events) - len(dropped))
    assert dropped


def test_a_reader_that_is_gone_is_no_failure() -> None:
    """The process goes on without a log."""
    reading, writing = os.pipe()
    os.close(reading)
    code = FLOOD.replace("sys.stdin.readline()", "")
    ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writing, check=False)
    os.close(writing)
    assert ran.returncode == 0
