"""A control plane as a process of its own, for tests: started on a free port, with a key of each role.

    with control_plane(tmp_path) as plane:                     # SQLite in the folder; or: control_plane(tmp_path, url)
        plane.client("admin").post("/v1/features", json={…})
        sidecar("--control-plane", plane.url, "--key-file", plane.key_file("sidecar"),
                "--trust-key-file", plane.public_key_file, …)  # tests.system.processes

`restarted()` ends it and starts it anew on the same store and port; `kill()` does not let it say good-bye.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

import httpx

from tests.system.processes import PATIENCE, Process
from tiergate.bundle import SigningKey
from tiergate.permissions import shipped_roles
from tiergate.process.server_process import find_port
from tiergate.store import SYSTEM, Store
from tiergate.store.keys import create_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ROLES: Final = tuple(sorted(shipped_roles().roles))
"""Every role there is."""


class Credentials:
    """A store that is ready to be served: its URL, a signing key, and a key of each role, as files in a folder."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self.database = f"sqlite:///{folder / 'store.sqlite'}" if url is None else url
        self.signing_key = SigningKey.generate()
        self.signing_key_file = folder / "signing-key.pem"
        self.signing_key_file.write_text(self.signing_key.to_pem())
        self.public_key_file = folder / "public-key.pem"
        self.public_key_file.write_text(self.signing_key.verify_key.to_pem())
        store = Store.open(self.database, migrating=True)
        try:
            self.store_id = store.id
            self.keys = {
                role: store.change(lambda unit, role=role: create_key(unit, role, [role]), SYSTEM).text  # type: ignore[misc]
                for role in ROLES
            }
        finally:
            store.close()
        for role, key in self.keys.items():
            self.key_file(role).write_text(key)

    def key_file(self, role: str) -> Path:
        """The file with the key of a role."""
        return self.folder / f"{role}.key"


class ControlPlane:
    """A running control plane."""

    def __init__(
        self, credentials: Credentials, *arguments: str | Path, port: int = 0, before: Sequence[str] = ()
    ) -> None:
        self.credentials = credentials
        self._arguments = arguments
        self.process = Process(
            *("--database", credentials.database),
            *("--signing-key-file", credentials.signing_key_file),
            *("--port", str(port)),
            *arguments,
            ports=False,
            command="control-plane",
            before=before,
        )
        self._clients: list[httpx.Client] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self.process.event("listening")["api"])

    @property
    def public_key_file(self) -> Path:
        """The file with the key that sidecars trust."""
        return self.credentials.public_key_file

    def key_file(self, role: str) -> Path:
        """The file with the key of a role."""
        return self.credentials.key_file(role)

    def client(self, role: str = "admin") -> httpx.Client:
        """A client with the key of a role."""
        headers = {"authorization": f"Bearer {self.credentials.keys[role]}"}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, trust_env=False)
        self._clients.append(client)
        return client

    def restarted(self) -> ControlPlane:
        """End it, if it still runs, and start it again on the same store and port."""
        port = httpx.URL(self.url).port or 0
        self.__exit__()
        return ControlPlane(self.credentials, *self._arguments, port=port)

    def kill(self) -> None:
        """Kill it."""
        self.process.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self.process.__exit__()


def prepare_store(folder: Path, url: str | None = None) -> Credentials:
    """Make a store (SQLite in the folder, unless `url` names another database) and what it takes to serve it."""
    return Credentials(folder, url)


@contextmanager
def control_plane(folder: Path, url: str | None = None, *arguments: str | Path) -> Iterator[ControlPlane]:
    """Run a control plane that is ready, on a store as `prepare_store` makes it."""
    with ControlPlane(prepare_store(folder, url), *arguments) as plane:
        plane.process.event("ready")
        yield plane


def free_port() -> int:
    """A port that nobody uses at this moment, and that the system gives to no outgoing connection."""
    return find_port(0)
