"""OpenFGA: customers subscribe to plans, and a plan can use a feature within a limit."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

from benchmarks.processes import free_port, running
from benchmarks.race.peer import CHANGED_LIMIT, Peer, send
from benchmarks.race.requests import Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BATCH = 100  # the most tuples of one write
_PARAMETERS = {"used": {"type_name": "TYPE_NAME_INT"}, "limit": {"type_name": "TYPE_NAME_INT"}}


def _type(name: str, relation: str, user: dict[str, str]) -> dict[str, object]:
    metadata = {"relations": {relation: {"directly_related_user_types": [user]}}}
    return {"type": name, "relations": {relation: {"this": {}}}, "metadata": metadata}


_MODEL = {
    "schema_version": "1.1",
    "type_definitions": [
        {"type": "customer"},
        _type("plan", "subscriber", {"type": "customer"}),
        _type("feature", "can_use", {"type": "plan", "relation": "subscriber", "condition": "within"}),
    ],
    "conditions": {"within": {"name": "within", "expression": "used < limit", "parameters": _PARAMETERS}},
}


class OpenFga(Peer):
    """OpenFGA's server on SQLite, with its caches of checks on."""

    name = "OpenFGA"
    program = "openfga"
    version_arguments = ("version",)
    difference = (
        "It looks up the customer's plans, from SQLite; its cache of check results is on. A change shows when the "
        "cache has forgotten the previous answer."
    )

    @property
    def request(self) -> Request:
        """The request that asks a question of the store that `prepare` filled."""
        store, model = self._ids()
        tuple_key = '{"user":"customer:c$customer","relation":"can_use","object":"feature:f$feature"}'
        body = f'{{"authorization_model_id":"{model}","tuple_key":{tuple_key},"context":{{"used":$used}}}}'
        return Request(f"/stores/{store}/check", body)

    @property
    def _database(self) -> Path:
        return self.home / "store.sqlite"

    def write_files(self) -> None:
        """Write nothing: the tuples are sent over the API."""

    def prepare(self) -> str:
        """Load the tuples once, over the API, and copy the loaded database."""
        loaded = self.home / "loaded.sqlite"
        if not (self.home / "ids.json").exists():
            self._load(loaded)
        shutil.copyfile(loaded, self._database)
        return f"its {sum(1 for _ in self.tuples()):,} tuples were written before"

    def command(self, port: int) -> list[str]:
        """Return the command of the server on the copied database."""
        caches = ["--check-query-cache-enabled=true", "--check-iterator-cache-enabled=true"]
        return [*self._command(port, self._database), *caches]

    def read_answer(self, body: bytes) -> bool:
        """Return `allowed`."""
        return bool(json.loads(body)["allowed"])

    def change(self, port: int) -> str | None:
        """Replace the tuple of the plan and the feature, in two requests: one may not do both."""
        store, model = self._ids()
        changed = _limit_tuple(0, 1, CHANGED_LIMIT)
        deleted = {name: changed[name] for name in ("user", "relation", "object")}
        for verb, written in (("deletes", deleted), ("writes", changed)):
            _send(port, f"/stores/{store}/write", {"authorization_model_id": model, verb: {"tuple_keys": [written]}})
        return "REST push"

    def _ids(self) -> tuple[str, str]:
        store, model = json.loads((self.home / "ids.json").read_text("utf-8"))
        return store, model

    def _command(self, port: int, database: Path) -> list[str]:
        command = [self.program, "run", "--datastore-engine", "sqlite", "--datastore-uri", f"file:{database}"]
        command += ["--http-addr", f"127.0.0.1:{port}", "--grpc-addr", f"127.0.0.1:{free_port()}"]
        return [*command, "--playground-enabled=false", "--metrics-enabled=false", "--log-level", "none"]

    def _load(self, database: Path) -> None:
        for old in self.home.glob(f"{database.name}*"):
            old.unlink()
        migrate = [self.program, "migrate", "--datastore-engine", "sqlite", "--datastore-uri", f"file:{database}"]
        subprocess.run(migrate, check=True, stdout=subprocess.DEVNULL)
        port = free_port()
        with running(self._command(port, database), port, "/healthz"):
            store = _send(port, "/stores", {"name": "race"})["id"]
            model = _send(port, f"/stores/{store}/authorization-models", _MODEL)["authorization_model_id"]
            tuples = list(self.tuples())
            for begin in range(0, len(tuples), _BATCH):
                writes = {"tuple_keys": tuples[begin : begin + _BATCH]}
                _send(port, f"/stores/{store}/write", {"authorization_model_id": model, "writes": writes})
        (self.home / "ids.json").write_text(json.dumps([store, model]), "utf-8")

    def tuples(self) -> Iterator[dict[str, object]]:
        """Return the tuples of the facts."""
        for customer, plans in enumerate(self.facts.subscriptions):
            for plan in plans:
                yield {"user": f"customer:c{customer}", "relation": "subscriber", "object": f"plan:p{plan}"}
        for plan, limits in enumerate(self.facts.limits):
            for feature, limit in enumerate(limits):
                yield _limit_tuple(plan, feature, limit)


def _limit_tuple(plan: int, feature: int, limit: int) -> dict[str, object]:
    return {
        "user": f"plan:p{plan}#subscriber",
        "relation": "can_use",
        "object": f"feature:f{feature}",
        "condition": {"name": "within", "context": {"limit": limit}},
    }


def _send(port: int, path: str, content: object) -> dict[str, str]:
    status, body = send(port, "POST", path, json.dumps(content))
    if status >= 300:
        msg = f"{path} answered {status}: {body[:300]!r}"
        raise RuntimeError(msg)
    result: dict[str, str] = json.loads(body)
    return result
