"""The endpoints of keys, roles and the audit log on a store, with real keys and the roles in force."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from tests.admin import serving
from tiergate.admin.roles import PublishedRoles
from tiergate.bundle import SigningKey
from tiergate.control.api import audit, keys, roles
from tiergate.control.auth.authentication import Authenticator, TokenVerifier
from tiergate.store import SYSTEM, Publishing, Store
from tiergate.store.keys import create_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from tests.admin import Admin
    from tiergate.permissions import Caller
    from tiergate.store import WriteUnit

SIGNING_KEY = SigningKey.generate()
"""What the store signs with."""


class Accountable:
    """An API that real keys are shown to."""

    def __init__(self, store: Store, admin: Admin) -> None:
        self.store = store
        self.admin = admin

    def with_key(self, *given: str, **narrowed: Any) -> httpx.Client:  # noqa: ANN401 - of several types
        """A client with a new key that has these roles."""
        made = self.store.change(lambda unit: create_key(unit, "test", given, **narrowed), SYSTEM)
        return self.admin.bearing(made.text)


@contextmanager
def accountable(
    url: str, clock: Callable[[], int] | None = None, identify: Callable[[str], Caller] | None = None
) -> Iterator[Accountable]:
    """Serve."""
    with closing(Store.open(url, clock=clock)) as store:
        table = PublishedRoles(store)
        people = Authenticator(store, TokenVerifier([])).identify if identify is None else identify
        trust = {"store": store.id, "public_keys": [SIGNING_KEY.verify_key.to_pem()]}
        endpoints = [*keys.endpoints(table, trust), *roles.endpoints(table), *audit.endpoints()]
        with serving(store, endpoints, identify=people, roles=table) as admin:
            yield Accountable(store, admin)


def publish_roles(store: Store, text: str) -> None:
    """Put a table of roles in force, without anything else that a publication fixes."""

    def work(unit: WriteUnit) -> None:
        name = f"roles {len(text)} {hash(text)}"
        unit.put_blob(name, text.encode())

        def make(sequence: int, position: int, at: int) -> Publishing:
            row = {
                "sequence": sequence,
                "revision": "sha256:x",
                "position": position,
                "issued_at": at,
                "envelope": b"{}",
                "catalog": "",
                "rules": "",
                "roles": name,
                "author": unit.actor.id,
                "note": "",
            }
            return Publishing(row, b"{}")

        unit.append_publication(unit.head().publication, make)

    store.change(work, SYSTEM)
