"""`tiergate keys`: API keys of callers, the first admin's key, and a store's signing keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.control_plane_client import ControlPlaneOptions
from tiergate.cli.option_groups import expand_options
from tiergate.cli.optional_dependencies import require_control_plane
from tiergate.cli.output.console import print_line, print_table, warn
from tiergate.cli.output.errors import print_json
from tiergate.cli.shared_options import AsJson
from tiergate.errors import SettingsError
from tiergate.process.atomic_files import write_new_file

app = typer.Typer()
group = typer.Typer(help="API keys, the first admin's key, and a store's signing keys.", no_args_is_help=True)
signing = typer.Typer(help="The signing keys of a store (Ed25519).", no_args_is_help=True)
group.add_typer(signing, name="signing-key")
app.add_typer(group, name="keys")

Out = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Write the secret to this new file, for its owner only, instead of printing."),
]


@group.command("create")
@expand_options
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The purpose of the key.")],
    *,
    connection: ControlPlaneOptions,
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
        typer.Option(metavar="INSTANT", help="When the key expires, such as 2027-01-01T00:00:00Z; default: never."),
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key, and show it once.

    With the role `sidecar`, the output is what a sidecar's --key-file needs, as JSON: the control plane's URL, the key
    and the public keys of the store.
    """
    _check_is_free(out)
    body = {"name": name, "roles": role, "actions": action, "customers": customer, "expires_at": expires}
    sent = {field: value for field, value in body.items() if value not in (None, [])}
    key = connection.client().call("POST", "/v1/keys", body=sent)
    secret = key["key"]
    if "public_keys" in key:  # a sidecar's: with everything that it needs
        credential = {"control_plane": connection.control_plane, "key": secret, "store": key["store"]}
        secret = json.dumps(credential | {"public_keys": key["public_keys"]}, indent=2)
    if as_json:
        if out is not None:
            del key["key"]
            _write_secret(secret, out)
        print_json(key)
        return
    _write_secret(secret, out)
    warn(f"key {key['id']} with the roles {', '.join(key['roles'])}")


@group.command("list")
@expand_options
def list_all(*, connection: ControlPlaneOptions, as_json: AsJson = False) -> None:
    """List API keys, also revoked and expired ones. Their secrets are not stored."""
    keys = list(connection.client().list_all("/v1/keys"))
    if as_json:
        print_json({"keys": keys})
        return
    for key in keys:
        print_line(f"{key['id']}  {key['name']}")
        rows = [("roles", ", ".join(key["roles"])), ("created", f"{key['created_at']} by {key['created_by']}")]
        rows += [(field, ", ".join(key[field])) for field in ("actions", "customers") if field in key]
        instants = (("expires_at", "expires"), ("revoked_at", "revoked"), ("last_used_at", "last used"))
        print_table([*rows, *((label, key[field]) for field, label in instants if field in key)])


@group.command("revoke")
@expand_options
def revoke(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The key's id, the part between `tg_` and the secret.")],
    *,
    connection: ControlPlaneOptions,
) -> None:
    """Revoke an API key immediately and permanently."""
    from tiergate.naming import ID_RULE, is_id

    if not is_id(id_):
        raise SettingsError("ID", f"`{id_}` {ID_RULE}")
    key = connection.client().call("DELETE", f"/v1/keys/{id_}")
    print_line(f"key {key['id']} revoked at {key['revoked_at']}")


@group.command("bootstrap-admin")
def bootstrap_admin(
    *,
    database: Annotated[
        str,
        typer.Option(
            envvar="TIERGATE_CP_DATABASE", metavar="URL", help="The store's database, as for `tiergate migrate`."
        ),
    ],
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="The purpose of the key.")] = "first admin",
    force: Annotated[
        bool, typer.Option("--force", help="Create another one if the first was created already and is lost.")
    ] = False,
    out: Out = None,
) -> None:
    """Create the first admin's API key, on the host of the store, once.

    Everything else is done with this key over the network: more keys, roles, publishing.
    """
    require_control_plane()
    from tiergate.store import SYSTEM, Store
    from tiergate.store.keys import bootstrap

    _check_is_free(out)
    store = Store.open(database)
    try:
        created = store.change(lambda unit: bootstrap(unit, name, force=force), SYSTEM)
    finally:
        store.close()
    _write_secret(created.text, out)
    warn(f"key {created.key.id} with the role admin")


@signing.command("generate")
def generate(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="The new file for the private key, in PEM.")],
) -> None:
    """Generate a signing key for a store, and print its public key, which sidecars need."""
    from tiergate.bundle import SigningKey

    key = SigningKey.generate()
    write_new_file(out, key.to_pem().encode(), 0o600)
    print_line(key.verify_key.to_pem().rstrip())


@signing.command("public-key")
def public_key(
    file: Annotated[Path, typer.Argument(metavar="PATH", help="The file with the private key, in PEM.")],
) -> None:
    """Print the public key of a signing key."""
    from tiergate.bundle import SigningKey

    try:
        key = SigningKey.from_pem(file.read_bytes())
    except ValueError as error:
        raise SettingsError("PATH", f"`{file}` {error}") from None
    print_line(key.verify_key.to_pem().rstrip())


def _check_is_free(out: Path | None) -> None:
    """Check that the file can be created, before there is a secret that cannot be shown again."""
    if out is not None:
        write_new_file(out, b"", 0o600)
        out.unlink()


def _write_secret(secret: str, out: Path | None) -> None:

    if out is None:
        print_line(secret)
    else:
        write_new_file(out, f"{secret}\n".encode(), 0o600)
