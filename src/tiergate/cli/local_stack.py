"""A control plane and a sidecar on one folder, for one's own machine: keys, the sample, both processes.

What `tiergate up` and `tiergate demo` share. Everything is asked for over HTTP, as anyone would; only the first keys
are made in the store itself, as `tiergate keys bootstrap-admin` does it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from tiergate.errors import OperatorError, SyncError
from tiergate.process.atomic_files import replace_file
from tiergate.process.server_process import ServerProcess, start_server_for_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tiergate.cli.sample_catalog import Sample

_HOST = "127.0.0.1"
_TIMEOUT = 30.0
_LOOK = 0.05
_POSITION = re.compile(r"^tiergate_cp_feed_position (\S+)", re.MULTILINE)


class Ports(NamedTuple):
    """Where the control plane, the sidecar and its probes listen."""

    control: int
    sidecar: int
    probes: int


class Running(NamedTuple):
    """Both processes, and where they are."""

    control: ServerProcess
    sidecar: ServerProcess
    ports: Ports

    @property
    def control_url(self) -> str:
        """The control plane's address."""
        return f"http://{_HOST}:{self.ports.control}"

    @property
    def sidecar_url(self) -> str:
        """The sidecar's address."""
        return f"http://{_HOST}:{self.ports.sidecar}"


class Household:
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
    def alone(self) -> Iterator[None]:
        """Keep others out of the folder meanwhile; it is made if need be.

        Raises:
            OSError: the folder cannot be written.
            OperatorError: somebody else uses it.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OperatorError(f"the folder `{self.folder}` is in use by another `tiergate up`") from None
            yield

    def furnish(self, ports: Ports) -> bool:
        """Make what is not there yet, and say whether the admin's key is new.

        Raises:
            StoreError: the store cannot be used.
            OSError: the folder cannot be written.
            OperatorError: something of an older folder is missing.
        """
        from tiergate.bundle import SigningKey
        from tiergate.store import Author, Store
        from tiergate.store.keys import bootstrap, create_key

        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.signing_key.exists():
            if self.store.exists():
                raise OperatorError(f"`{self.signing_key}` is gone, with which the store in `{self.folder}` signs")
            replace_file(self.signing_key, SigningKey.generate().to_pem().encode())
        operator = Author("operator", "system")
        store = Store.open(f"sqlite:///{self.store}", migrating=True)
        self.store.chmod(0o600)
        try:
            is_new = not self.admin_key.exists()
            if is_new:  # an older one may be lost: whoever has the folder may make another
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
            credential["control_plane"] = f"http://{_HOST}:{ports.control}"
            replace_file(self.sidecar_key, (json.dumps(credential, indent=2) + "\n").encode())
        finally:
            store.close()
        return is_new

    def client(self, ports: Ports) -> httpx.Client:
        """A client of the control plane, as its admin."""
        import httpx

        headers = {"authorization": f"Bearer {self.admin_key.read_text().strip()}"}
        return httpx.Client(
            base_url=f"http://{_HOST}:{ports.control}", headers=headers, timeout=_TIMEOUT, trust_env=False
        )

    @contextmanager
    def running_control(self, ports: Ports) -> Iterator[ServerProcess]:
        """Run the control plane, and wait until it answers."""
        arguments = [
            *("--database", f"sqlite:///{self.store.absolute()}"),
            *("--signing-key-file", str(self.signing_key.absolute())),
            *("--port", str(ports.control), "--log-format", "console"),
        ]
        with start_server_for_command(arguments, "control-plane") as control:
            control.wait_until_ready(ports.control)
            yield control

    @contextmanager
    def running_sidecar(self, ports: Ports, *, waiting: bool = True) -> Iterator[ServerProcess]:
        """Run the sidecar that follows it; `waiting`: until it can decide, which takes a publication."""
        arguments = [
            *("--key-file", str(self.sidecar_key.absolute()), "--data", str(self.sidecar_data.absolute())),
            *("--port", str(ports.sidecar), "--probe-port", str(ports.probes), "--probe-host", _HOST),
            *("--log-format", "console"),
        ]
        with start_server_for_command(arguments) as sidecar:
            if waiting:
                sidecar.wait_until_ready(ports.probes)
                _wait_until_followed(ports)
            yield sidecar


def load_sample(client: httpx.Client, sample: Sample) -> None:
    """Publish the sample's catalog and rules, and write its subjects, unless the store has some already.

    Raises:
        SyncError: the control plane refuses it.
    """
    from tiergate.catalog import TotalBounds, dump_subject_lines, load_catalog, load_subjects, read_rules

    if asked(client, "GET", "/v1/customers?limit=1")["items"]:
        return
    if not asked(client, "GET", "/v1/export")["publication"]:
        files = [{"name": sample.catalog.name, "text": sample.catalog.read_text(encoding="utf-8")}]
        body = {"catalog": files, "rules": read_rules(sample.rules), "note": "the sample"}
        asked(client, "POST", "/v1/apply", body)
    catalog = load_catalog([sample.catalog]).catalog
    index = catalog.index()
    records = load_subjects([sample.subjects], index, TotalBounds.of(catalog)).values()
    asked(client, "POST", "/v1/import/subjects", "".join(dump_subject_lines(records, index)))


def asked(client: httpx.Client, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    """Ask the control plane, and give its answer. A body is JSON, or lines of it where it is a text.

    Raises:
        SyncError: it does not answer, or refuses.
    """
    import httpx
    import msgspec

    content: bytes | None = None
    headers = {}
    if isinstance(body, str):
        content, headers = body.encode(), {"content-type": "application/x-ndjson"}
    elif body is not None:
        content, headers = msgspec.json.encode(body), {"content-type": "application/json"}
    try:
        answer = client.request(method, path, content=content, headers=headers)
    except httpx.HTTPError as error:
        raise SyncError(f"{client.base_url}{path}", str(error)) from None
    if not answer.is_success:
        raise SyncError(f"{client.base_url}{path}", answer.text, answer.status_code)
    return answer.json() if answer.content else None


def _wait_until_followed(ports: Ports) -> None:
    """Wait until the sidecar has come to the end of the feed.

    Raises:
        SyncError: it did not, in half a minute.
    """
    import httpx

    metrics, status = f"http://{_HOST}:{ports.control}/metrics", f"http://{_HOST}:{ports.probes}/status"
    deadline = time.monotonic() + _TIMEOUT
    with httpx.Client(timeout=_TIMEOUT, trust_env=False) as client:
        found = _POSITION.search(client.get(metrics).text)
        end = 0 if found is None else int(float(found[1]))
        while int(client.get(status).json().get("position", 0)) < end:
            if time.monotonic() > deadline:
                raise SyncError(status, f"the sidecar did not come to position {end} of the feed")
            time.sleep(_LOOK)
