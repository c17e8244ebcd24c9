"""Tests of `tiergate.admin.keys`: without HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.admin.use_cases import actor, open_store
from tiergate.admin.keys import KeyRequest, create_key, get_key, list_keys, revoke_key
from tiergate.errors import BodyError, ForbiddenError, NotFoundError
from tiergate.permissions import Action, shipped_roles

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.store import Store

ROLES = shipped_roles().roles


def create(store: Store, who: Actor, *roles: str) -> tuple[dict[str, object], str]:
    """Create a key."""
    wanted = KeyRequest("a key", list(roles))
    return store.change(lambda unit: create_key(who, unit, wanted, ROLES), who.author)


def test_a_key_is_created_listed_and_revoked(sqlite_url: str) -> None:
    """Its text is returned once, and is no part of its data."""
    with open_store(sqlite_url) as store:
        data, text = create(store, actor(), "sidecar")
        id_ = str(data["id"])
        assert text.startswith(f"tg_{id_}_")
        assert "key" not in data
        assert store.read(lambda unit: list_keys(unit, None, 10)) == ([data], None)
        revoked = store.change(lambda unit: revoke_key(actor(), unit, id_), actor().author)
        assert store.read(lambda unit: get_key(unit, id_)) == revoked
        assert "revoked_at" in revoked


def test_nobody_gives_a_role_that_they_lack(sqlite_url: str) -> None:
    """Unless they may edit the role policies, by which they could have any role."""
    limited = actor(denied=frozenset({Action.EDIT_ROLES}))
    with open_store(sqlite_url) as store, pytest.raises(BodyError) as caught:
        create(store, limited, "admin")
    assert [(it.pointer, it.code) for it in caught.value.problems] == [("/roles/0", "beyond-own")]


def test_who_may_not_manage_keys_revokes_none(sqlite_url: str) -> None:
    """The use case requires the permission by itself."""
    denied = actor(denied=frozenset({Action.MANAGE_KEYS}))
    with open_store(sqlite_url) as store:
        id_ = str(create(store, actor(), "sidecar")[0]["id"])
        with pytest.raises(ForbiddenError):
            store.change(lambda unit: revoke_key(denied, unit, id_), denied.author)
        with pytest.raises(NotFoundError):
            store.read(lambda unit: get_key(unit, "nothing"))
