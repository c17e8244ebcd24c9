"""A TCP relay that can cut connections, also in the middle of what they carry, delay, drop, half-close and refuse."""

from __future__ import annotations

import contextlib
import random
import socket
import threading


class CuttingProxy:
    """Relays a port of its own to `target`. Each connection carries what it gets until it is cut."""

    def __init__(self, target: int, seed: int = 0) -> None:
        """Listen on any free port of this machine."""
        self.target = target
        self.cutting = False
        self.refusing = False
        self.dropping = False
        """Whether what arrives is lost; the connections that lost something are cut in the end."""
        self.cuts = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._draw = random.Random(seed)
        self._live: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_all(self) -> None:
        """Cut every connection now."""
        with self._lock:
            live = list(self._live)
        for one in live:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.cuts += len(live)

    def half_close(self) -> None:
        """Send nothing more to either end of the connections; what each end still sends is read and lost."""
        with self._lock:
            live = list(self._live)
        for one in live:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_WR)
        self.cuts += len(live)

    def hold(self) -> None:
        """Keep back what arrives."""
        self._flowing.clear()

    def let_go(self) -> None:
        """Relay what was kept back, and what arrives from now on."""
        self._flowing.set()

    def close(self) -> None:
        """Stop."""
        self.let_go()
        self._listener.close()
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._live |= {near, far}
            for source, sink, answers in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._relay, args=(source, sink, answers), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(4096):
                self._flowing.wait()
                if self.dropping:
                    self.cuts += 1
                    continue
                if answers and self.cutting and self._draw.random() < 0.3:
                    sink.sendall(chunk[: self._draw.randint(0, len(chunk))])
                    self.cuts += 1
                    break
                sink.sendall(chunk)
        with self._lock:
            self._live -= {source, sink}
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
