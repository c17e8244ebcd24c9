"""Ending when told to: SIGTERM and SIGINT mean the same from a process's first instant to its last.

As process 1 of a container nothing ends a process that has no handler, so one is set before anything that takes long is
imported. Until an event loop takes the signals over, they raise `SystemExit` in the main thread; where that thread does
not get to it, because it waits inside of a library, the process is ended after a moment from another one. Where Python
ignores what is raised, in a finaliser or in the callback of a weak reference, it is raised again. Nothing here needs
more than that: what a process leaves behind when it is killed, the next one copes with.

What comes before Python runs is left to the entry point of the image: it blocks the signals, they are unblocked here.

Imports nothing that takes long, and must not.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STUCK = 2.0
_AGAIN = 0.01


def install_signal_handlers(*, serves: bool) -> None:
    """Have SIGTERM and SIGINT end this process, from now until others handle them. Call it in the main thread.

    `serves`: it has nothing to finish, so that an end that was asked for is a good one, with exit code 0, at any time.
    Else the codes are those of a shell, 143 and 130, for something was not done.
    """
    told = threading.Event()
    handler = _Ending(told, serves=serves)
    for number in _SIGNALS:
        signal.signal(number, handler)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget)
    threading.Thread(target=_watch, args=(reader, told, serves), name="signals", daemon=True).start()
    sys.unraisablehook = _Unraisable(handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def has_default_handler(number: signal.Signals) -> bool:
    """Say whether a signal does what it does by default, or what `install_signal_handlers` arranged."""
    handler = signal.getsignal(number)
    return handler is signal.SIG_DFL or isinstance(handler, _Ending)


def exit_within(seconds: float) -> None:
    """Have this process end with 0 after so long, whatever a thread of it may wait for then.

    For the orderly end of a process that serves: a database that does not answer must not hold it up.
    """

    def end() -> None:
        sys.stderr.flush()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


class _Ending:
    """The handler of `install_signal_handlers`."""

    def __init__(self, told: threading.Event, *, serves: bool) -> None:
        self._told = told
        self._serves = serves
        self.number = 0

    def __call__(self, number: int, _: object) -> None:
        self.number = number
        self._told.set()
        if number == signal.SIGINT and not self._serves:
            raise KeyboardInterrupt
        raise SystemExit(_code(number, serves=self._serves))


class _Unraisable:
    """What Python calls with an exception that it ignores: one that a signal raised is raised again elsewhere."""

    def __init__(self, ending: _Ending) -> None:
        self._ending = ending

    def __call__(self, ignored: sys.UnraisableHookArgs, /) -> None:
        number = self._ending.number
        ends = isinstance(ignored.exc_value, SystemExit | KeyboardInterrupt)
        if not ends or not number or signal.getsignal(number) is not self._ending:
            sys.__unraisablehook__(ignored)
            return
        timer = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()


def _watch(reader: int, told: threading.Event, serves: bool) -> None:  # noqa: FBT001 - a thread's
    """End the process if a signal came and the main thread does not get to it."""
    while True:
        number = os.read(reader, 1)[0]
        if number in _SIGNALS and not told.wait(_STUCK):
            os._exit(_code(number, serves=serves))


def _forget() -> None:
    """Leave the pipe to the parent: what a child is told is not for it."""
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)
    for number, handler in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if isinstance(signal.getsignal(number), _Ending):
            signal.signal(number, handler)


def _code(number: int, *, serves: bool) -> int:
    return 0 if serves else 128 + number
