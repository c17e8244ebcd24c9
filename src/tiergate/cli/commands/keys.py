"""`tiergate keys`: API keys of callers, the first admin's, and the keys that a store signs with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.control_plane_client import DEFAULT_URL, ControlPlaneUrl, KeyFile
from tiergate.cli.shared_options import AsJson
from tiergate.errors import SettingsError
from tiergate.process.atomic_files import write_new_file

app = typer.Typer()
group = typer.Typer(help="API keys, the first admin's key, and the keys that a store signs with.", no_args_is_help=True)
signing = typer.Typer(help="The keys that a store signs with (Ed25519).", no_args_is_help=True)
group.add_typer(signing, name="signing-key")
app.add_typer(group, name="keys")

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="PATH", help="Write the secret to this new file, for its owner alone, instead of showing it."
    ),
]


@group.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for, in words.")],
    *,
    key_file: KeyFile,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
    role: Annotated[
        list[str], typer.Option("--role", metavar="ROLE", help="A role of the key; may be given several times.")
    ],
    action: Annotated[
        list[str] | None,
        typer.Option("--action", metavar="ACTION", help="Narrow the key to this action, or group of actions."),
    ] = None,
    customer: Annotated[
        list[str] | None, typer.Option("--customer", metavar="ID", help="Narrow the key to this customer.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="INSTANT", help="When it ends, such as 2027-01-01T00:00:00Z; default: never."
        ),
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key, and show it this once.

    With the role `sidecar` that is all that a sidecar's --key-file may hold, in JSON: where the control plane is, and
    the public keys by which the store may sign.
    """
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.output.console import warn
    from tiergate.cli.output.errors import say_json

    body = {
        "name": name,
        "roles": role,
        "actions": action or None,
        "customers": customer or None,
        "expires_at": expires,
    }
    _see_free(out)
    said = ControlPlane(control_plane, key_file).ask(
        "POST", "/v1/keys", body={word: value for word, value in body.items() if value is not None}
    )
    secret = said["key"]
    if "public_keys" in said:  # a sidecar's: with all that it needs to know
        known = {"control_plane": control_plane, "key": secret}
        secret = json.dumps({**known, "store": said["store"], "public_keys": said["public_keys"]}, indent=2)
    if as_json:
        if out is not None:
            del said["key"]
            _hand_over(secret, out)
        say_json(said)
        return
    _hand_over(secret, out)
    warn(f"key {said['id']} with the roles {', '.join(said['roles'])}")


@group.command("list")
def list_all(*, key_file: KeyFile, control_plane: ControlPlaneUrl = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List API keys, revoked and expired ones too; their secrets are known to nobody."""
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.output.console import say, say_table
    from tiergate.cli.output.errors import say_json

    found = list(ControlPlane(control_plane, key_file).pages("/v1/keys"))
    if as_json:
        say_json({"keys": found})
        return
    for key in found:
        say(f"{key['id']}  {key['name']}")
        rows = [("roles", ", ".join(key["roles"])), ("made", f"{key['created_at']} by {key['created_by']}")]
        rows += [(word, ", ".join(key[word])) for word in ("actions", "customers") if word in key]
        words = (("expires_at", "expires"), ("revoked_at", "revoked"), ("last_used_at", "last used"))
        say_table([*rows, *((shown, key[word]) for word, shown in words if word in key)])


@group.command("revoke")
def revoke(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The key's id, the part between `tg_` and the secret.")],
    *,
    key_file: KeyFile,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
) -> None:
    """Revoke an API key, at once and for ever."""
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.output.console import say
    from tiergate.naming import ID_RULE, is_id

    if not is_id(id_):
        raise SettingsError("ID", f"`{id_}` {ID_RULE}")
    said = ControlPlane(control_plane, key_file).ask("DELETE", f"/v1/keys/{id_}")
    say(f"key {said['id']} revoked at {said['revoked_at']}")


@group.command("bootstrap-admin")
def bootstrap_admin(
    *,
    database: Annotated[
        str,
        typer.Option(
            envvar="TIERGATE_CP_DATABASE", metavar="URL", help="The store's database, as for `tiergate migrate`."
        ),
    ],
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="What the key is for, in words.")] = "first admin",
    force: Annotated[
        bool, typer.Option("--force", help="Make another one, where the first was made already and is lost.")
    ] = False,
    out: Out = None,
) -> None:
    """Make the first admin's API key, on the host of the store, once.

    Everything else is done with it over the network: more keys, roles, what is published.
    """
    from tiergate.cli.optional_dependencies import need_control_plane
    from tiergate.cli.output.console import warn

    need_control_plane()
    from tiergate.store import SYSTEM, Store
    from tiergate.store.keys import bootstrap

    _see_free(out)
    store = Store.open(database)
    try:
        made = store.change(lambda unit: bootstrap(unit, name, force=force), SYSTEM)
    finally:
        store.close()
    _hand_over(made.text, out)
    warn(f"key {made.key.id} with the role admin")


@signing.command("generate")
def generate(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="A new file for the private key, in PEM.")],
) -> None:
    """Make a key for a store to sign with, and show its public half, which sidecars are told."""
    from tiergate.bundle import SigningKey
    from tiergate.cli.output.console import say

    key = SigningKey.generate()
    write_new_file(out, key.to_pem().encode(), 0o600)
    say(key.verify_key.to_pem().rstrip())


@signing.command("public-key")
def public_key(
    file: Annotated[Path, typer.Argument(metavar="PATH", help="The file with the private key, in PEM.")],
) -> None:
    """Show the public half of a signing key."""
    from tiergate.bundle import SigningKey
    from tiergate.cli.output.console import say

    try:
        key = SigningKey.from_pem(file.read_bytes())
    except ValueError as error:
        raise SettingsError("PATH", f"`{file}` {error}") from None
    say(key.verify_key.to_pem().rstrip())


def _see_free(out: Path | None) -> None:
    """See that a secret can be written down, before there is one that nobody could be shown again.

    Raises:
        OSError: the file is there already, or its folder is not.
    """
    if out is not None:
        write_new_file(out, b"", 0o600)
        out.unlink()


def _hand_over(secret: str, out: Path | None) -> None:
    from tiergate.cli.output.console import say

    if out is None:
        say(secret)
    else:
        write_new_file(out, f"{secret}\n".encode(), 0o600)
