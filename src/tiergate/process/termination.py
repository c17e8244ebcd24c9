"""Handle SIGTERM and SIGINT from the first instant of a process to its last.

Process 1 of a container ignores signals without a handler, so handlers are installed before slow imports. Until an
event loop handles the signals, they raise `SystemExit` in the main thread; if that thread hangs in a library, another
thread ends the process after a moment. If the exception is lost on its way, because Python ignores it in a finaliser
or a library that was just running suppresses all exceptions, it is raised again. The entry point of the image blocks
the signals until Python runs; they are unblocked here.

This module must not import anything slow.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_HANG_SECONDS = 2.0
_RESEND_AFTER = 0.01
_RECEIVED = "tiergate_received_signal"
"""The attribute of a signal's exception: a subclass of it would have another exit status."""


def install_signal_handlers(*, serves: bool) -> None:
    """Make SIGTERM and SIGINT end this process until other code handles them. Call it in the main thread.

    `serves`: the process is a server, whose exit status is then 0. Otherwise it is that of a shell, 143 or 130, because
    a command did not finish.
    """
    handled = threading.Event()
    handler = _SignalHandler(handled, serves=serves)
    for number in _SIGNALS:
        signal.signal(number, handler)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_reset_in_child)
    threading.Thread(target=_watch, args=(reader, handled, serves), name="signals", daemon=True).start()
    sys.unraisablehook = _on_unraisable
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def has_default_handler(number: signal.Signals) -> bool:
    """Return whether a signal has its default handler or that of `install_signal_handlers`."""
    handler = signal.getsignal(number)
    return handler is signal.SIG_DFL or isinstance(handler, _SignalHandler)


def mark_arrived(error: BaseException | None) -> BaseException | None:
    """Note that an exception, or its cause, is not lost if a signal raised it, and return the one that it raised.

    Code that catches the exception of a signal for good calls this, and ends as that asks for. Python wraps some
    exceptions in others.
    """
    raised = None
    while error is not None:
        received = error.__dict__.get(_RECEIVED)
        if received is not None:
            received.has_arrived = True
            raised = error
        error = error.__cause__ or error.__context__
    return raised


def exit_within(seconds: float) -> None:
    """Exit with status 0 after some seconds, even if a thread still hangs, as in a database that does not answer."""

    def end() -> None:
        sys.stderr.flush()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


class _ReceivedSignal:
    """Travels with the exception of a signal. If it is freed before it arrives, the signal is sent again."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.has_arrived = False

    def __del__(self) -> None:
        # While the interpreter is finalised, a thread would never start.
        if not self.has_arrived and threading.main_thread().is_alive():
            timer = threading.Timer(_RESEND_AFTER, _resend, (self.number,))
            timer.daemon = True
            timer.start()


class _SignalHandler:
    """The handler of both signals."""

    def __init__(self, handled: threading.Event, *, serves: bool) -> None:
        self._handled = handled
        self._serves = serves

    def __call__(self, number: int, _: object) -> None:
        self._handled.set()
        # A local variable would refer to the exception, whose traceback refers to this frame: nothing would free them.
        raise self._exception(number)

    def _exception(self, number: int) -> BaseException:
        interrupts = number == signal.SIGINT and not self._serves
        error = KeyboardInterrupt() if interrupts else SystemExit(_code(number, serves=self._serves))
        error.__dict__[_RECEIVED] = _ReceivedSignal(number)
        return error


def _resend(number: int) -> None:
    if threading.main_thread().is_alive() and isinstance(signal.getsignal(number), _SignalHandler):
        os.kill(os.getpid(), number)


def _on_unraisable(ignored: sys.UnraisableHookArgs, /) -> None:
    """Print an exception that Python ignores, unless a signal raised it, which is then sent again."""
    if _RECEIVED not in getattr(ignored.exc_value, "__dict__", ()):
        sys.__unraisablehook__(ignored)


def _watch(reader: int, handled: threading.Event, serves: bool) -> None:  # noqa: FBT001 - a thread's
    """End the process if the main thread does not handle a signal in time."""
    while True:
        number = os.read(reader, 1)[0]
        if number in _SIGNALS and not handled.wait(_HANG_SECONDS):
            os._exit(_code(number, serves=serves))


def _reset_in_child() -> None:
    """Restore the default handlers in a forked child."""
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)
    for number, handler in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if isinstance(signal.getsignal(number), _SignalHandler):
            signal.signal(number, handler)


def _code(number: int, *, serves: bool) -> int:
    return 0 if serves else 128 + number
