"""A control plane and a sidecar in one folder, for a developer's machine: keys, both processes, the sample.

`tiergate up` and `tiergate demo` share it. All requests go over HTTP; only the first keys are created in the store, as
`tiergate keys bootstrap-admin` does.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from tiergate.cli.control_plane_client import ControlPlane
from tiergate.errors import OperatorError, SyncError
from tiergate.process.atomic_files import replace_file
from tiergate.process.server_process import ServerProcess, find_port, find_ports, start_server_for_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.cli.sample_catalog import Sample

_HOST = "127.0.0.1"
_TIMEOUT = 30.0
_POLL_INTERVAL = 0.05
_POSITION = re.compile(r"^tiergate_cp_feed_position (\S+)", re.MULTILINE)


class Ports(NamedTuple):
    """Where the control plane, the sidecar and its probes listen."""

    control: int
    sidecar: int
    probes: int

    @classmethod
    def find(cls, control: int, sidecar: int) -> Ports:
        """Return these ports if they are free; 0 finds free ones."""
        return cls(find_port(control, "--control-port"), *find_ports(sidecar))

    @property
    def control_url(self) -> str:
        """The control plane's address."""
        return f"http://{_HOST}:{self.control}"

    @property
    def sidecar_url(self) -> str:
        """The sidecar's address."""
        return f"http://{_HOST}:{self.sidecar}"

    @property
    def status_url(self) -> str:
        """The address of the sidecar's status."""
        return f"http://{_HOST}:{self.probes}/status"


class LocalStack:
    """A folder with a store, its keys, and a sidecar's data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store.sqlite"
        self.signing_key = folder / "signing-key.pem"
        self.admin_key = folder / "admin.key"
        self.sidecar_key = folder / "sidecar.json"
        self.sidecar_data = folder / "sidecar"
        self.sample = folder / "sample"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Create the folder if needed, and lock it against other processes.

        Raises:
            OSError: if the folder cannot be written.
            OperatorError: if another process uses it.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OperatorError(f"the folder `{self.folder}` is in use by another `tiergate up`") from None
            yield

    def prepare(self, ports: Ports) -> bool:
        """Create the store and the keys that are missing, and return whether the admin's key is new.

        Raises:
            StoreError: if the store cannot be used.
            OSError: if the folder cannot be written.
            OperatorError: if a file of an older folder is missing.
        """
        from tiergate.bundle import SigningKey
        from tiergate.store import Author, Store
        from tiergate.store.keys import bootstrap, create_key

        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.signing_key.exists():
            if self.store.exists():
                raise OperatorError(f"`{self.signing_key}` is missing: the store in `{self.folder}` signs with it")
            replace_file(self.signing_key, SigningKey.generate().to_pem().encode())
        operator = Author("operator", "system")
        store = Store.open(f"sqlite:///{self.store}", migrating=True)
        self.store.chmod(0o600)
        try:
            is_new = not self.admin_key.exists()
            if is_new:  # an older key may be lost: the owner of the folder may create another
                force = bool(store.read(lambda unit: unit.head().position))
                key = store.change(lambda unit: bootstrap(unit, "first admin", force=force), operator).text
                replace_file(self.admin_key, f"{key}\n".encode())
            credential: dict[str, Any] = {}
            if self.sidecar_key.exists():
                credential = json.loads(self.sidecar_key.read_text())
            else:
                key = store.change(lambda unit: create_key(unit, "the sidecar here", ["sidecar"]), operator).text
                public = SigningKey.from_pem(self.signing_key.read_bytes()).verify_key.to_pem()
                credential = {"key": key, "store": store.id, "public_keys": [public]}
            credential["control_plane"] = ports.control_url
            replace_file(self.sidecar_key, (json.dumps(credential, indent=2) + "\n").encode())
        finally:
            store.close()
        return is_new

    def client(self, ports: Ports) -> ControlPlane:
        """Return a client of the control plane, with the admin's key."""
        return ControlPlane(ports.control_url, self.admin_key)

    @contextmanager
    def run_control_plane(self, ports: Ports) -> Iterator[ServerProcess]:
        """Run the control plane, and wait until it answers."""
        arguments = [
            *("--database", f"sqlite:///{self.store.absolute()}"),
            *("--signing-key-file", str(self.signing_key.absolute())),
            *("--port", str(ports.control), "--log-format", "console"),
        ]
        with start_server_for_command(arguments, "control-plane") as process:
            process.wait_until_ready(ports.control)
            yield process

    @contextmanager
    def run_sidecar(self, ports: Ports, *, wait: bool = True) -> Iterator[ServerProcess]:
        """Run a sidecar of the control plane; `wait`: until it can decide, which needs a publication."""
        arguments = [
            *("--key-file", str(self.sidecar_key.absolute()), "--data", str(self.sidecar_data.absolute())),
            *("--port", str(ports.sidecar), "--probe-port", str(ports.probes), "--probe-host", _HOST),
            *("--log-format", "console"),
        ]
        with start_server_for_command(arguments) as process:
            if wait:
                process.wait_until_ready(ports.probes)
                _wait_until_synced(ports)
            yield process


def load_sample(control_plane: ControlPlane, sample: Sample) -> None:
    """Publish the sample's catalog and rules, and write its subjects, unless the store has customers already.

    Raises:
        RequestError, SyncError: if the control plane rejects it.
    """
    from tiergate.catalog import TotalBounds, dump_subject_lines, load_catalog, load_subjects
    from tiergate.cli.commands.apply import apply_body

    if control_plane.call("GET", "/v1/customers", limit="1")["items"]:
        return
    if not control_plane.call("GET", "/v1/export")["publication"]:
        body = apply_body([sample.catalog], sample.rules, prune=False) | {"note": "the sample"}
        control_plane.call("POST", "/v1/apply", body=body)
    catalog = load_catalog([sample.catalog]).catalog
    index = catalog.index()
    records = load_subjects([sample.subjects], index, TotalBounds.of(catalog)).values()
    control_plane.post_lines("/v1/import/subjects", dump_subject_lines(records, index))


def _wait_until_synced(ports: Ports) -> None:
    """Wait until the sidecar is at the end of the feed.

    Raises:
        SyncError: if it is not within half a minute.
    """
    import httpx

    deadline = time.monotonic() + _TIMEOUT
    with httpx.Client(timeout=_TIMEOUT, trust_env=False) as client:
        match = _POSITION.search(client.get(f"{ports.control_url}/metrics").text)
        end = 0 if match is None else int(float(match[1]))
        while int(client.get(ports.status_url).json().get("position", 0)) < end:
            if time.monotonic() > deadline:
                raise SyncError(ports.status_url, f"the sidecar did not reach position {end} of the feed")
            time.sleep(_POLL_INTERVAL)
