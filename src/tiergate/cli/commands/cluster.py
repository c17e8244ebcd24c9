"""`tiergate cluster`: tasks of an installation in Kubernetes, run in one of its pods."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.optional_dependencies import require_control_plane
from tiergate.cli.output.console import print_line
from tiergate.cli.output.errors import print_json
from tiergate.cli.shared_options import AsJson
from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer()
group = typer.Typer(help="Tasks of an installation in Kubernetes, run in one of its pods.", no_args_is_help=True)
app.add_typer(group, name="cluster")

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")
_LONGEST_NAME = 253


@group.callback()
def cluster() -> None:
    """Group the commands."""


@group.command("create-secrets")
def create_secrets(
    *,
    signing_key: Annotated[
        str | None,
        typer.Option(
            "--signing-key",
            metavar="NAME",
            help="Create this Secret with a signing key, `signing-key.pem`, and its public key, `public-key.pem`.",
        ),
    ] = None,
    admin_key: Annotated[
        str | None,
        typer.Option(
            "--admin-key",
            metavar="NAME",
            help="Create this Secret with the first admin's API key, `admin.key`, for the control plane's setting "
            "`bootstrap-admin-key-file`.",
        ),
    ] = None,
    service_account: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="The folder with this pod's `token`, `ca.crt` and `namespace`."),
    ] = Path("/var/run/secrets/kubernetes.io/serviceaccount"),
    as_json: AsJson = False,
) -> None:
    """Create the missing Secrets of a control plane, in the namespace of this pod.

    Existing Secrets stay as they are: running it again, or several times at once, changes nothing. The pod's service
    account needs only the right to create Secrets. Their content is not printed.
    """
    require_control_plane()
    from tiergate.cluster.installation_secrets import SecretTemplate, create_missing_secrets
    from tiergate.cluster.kubernetes_api import KubernetesApi

    options = (("--signing-key", signing_key, _signing_key), ("--admin-key", admin_key, _admin_key))
    templates = [SecretTemplate(_checked(option, name), make) for option, name, make in options if name is not None]
    if not templates:
        raise SettingsError("--signing-key", "is required, or `--admin-key`: there is nothing to create")
    if len({template.name for template in templates}) < len(templates):
        raise SettingsError("--admin-key", f"`{admin_key}` is the Secret of `--signing-key` already")
    with KubernetesApi.of_this_pod(os.environ, service_account) as api:
        created = create_missing_secrets(api, templates)
        namespace = api.namespace
    if as_json:
        secrets = [{"name": name, "created": is_new} for name, is_new in created.items()]
        print_json({"namespace": namespace, "secrets": secrets})
        return
    for name, is_new in created.items():
        print_line(f"secret {namespace}/{name}: {'created' if is_new else 'exists already, unchanged'}")


def _signing_key() -> Mapping[str, str]:
    from tiergate.bundle import SigningKey
    from tiergate.cluster.installation_secrets import PUBLIC_KEY, SIGNING_KEY

    key = SigningKey.generate()
    return {SIGNING_KEY: key.to_pem(), PUBLIC_KEY: key.verify_key.to_pem()}


def _admin_key() -> Mapping[str, str]:
    from tiergate.cluster.installation_secrets import ADMIN_KEY
    from tiergate.store.keys import generate_key_text

    return {ADMIN_KEY: generate_key_text() + "\n"}


def _checked(option: str, name: str) -> str:
    if len(name) > _LONGEST_NAME or _NAME.fullmatch(name) is None:
        raise SettingsError(
            option, f"`{name}` is not the name of a Secret: use lower-case letters, digits, `-` and `.`"
        )
    return name
