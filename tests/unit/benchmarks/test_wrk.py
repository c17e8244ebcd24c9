from __future__ import annotations

import pytest

from benchmarks.wrk import Load, read_output

OUTPUT = """\
Running 1s test @ http://127.0.0.1:8080/
  1 threads and 16 connections
  Latency Distribution
     50%  250.00us
     75%    1.20ms
     90%    1.50ms
     99%    1.05s \n\
  9852 requests in 1.00s, 3.11MB read
{problem}Requests/sec:   9852.15
Transfer/sec:      3.11MB
"""


def test_rate_and_latency_are_read() -> None:
    """Latencies are in milliseconds, whatever unit wrk chose."""
    assert read_output(OUTPUT.format(problem="")) == Load(9852.15, 0.25, 1050)


def test_output_without_latency_is_an_error() -> None:
    """A figure that is missing is never taken for zero."""
    with pytest.raises(RuntimeError, match="no latency"):
        read_output("Requests/sec:   9852.15\n")


def test_an_error_status_is_an_error_unless_it_is_an_answer() -> None:
    """Some systems deny with an error status."""
    output = OUTPUT.format(problem="  Non-2xx or 3xx responses: 7\n")
    with pytest.raises(RuntimeError, match="responses: 7"):
        read_output(output)
    assert read_output(output, any_status=True).rate == 9852.15


def test_a_socket_error_is_an_error_always() -> None:
    """A rate with lost connections means nothing."""
    output = OUTPUT.format(problem="  Socket errors: connect 0, read 1, write 0, timeout 0\n")
    with pytest.raises(RuntimeError, match="read 1"):
        read_output(output, any_status=True)
