"""`tiergate migrate`: bring a store's database up to this release, or make it."""

from __future__ import annotations

from typing import Annotated

import typer

from tiergate.cli.optional_dependencies import require_control_plane
from tiergate.cli.output.console import print_line

app = typer.Typer()


@app.command()
def migrate(
    database: Annotated[
        str,
        typer.Option(
            envvar="TIERGATE_CP_DATABASE",
            metavar="URL",
            help="The store's database: `sqlite:///tiergate.db` or `postgresql://user@host/name`.",
        ),
    ],
) -> None:
    """Bring the database of a store up to this release, or make a new store in it.

    Back the database up first: there is no way down. It is one transaction, so that a failure changes nothing, and
    harmless when several control planes begin it together.
    """
    require_control_plane()
    from tiergate.store import Store
    from tiergate.store.schema import SCHEMA_VERSION

    store = Store.open(database, migrating=True)
    store.close()
    print_line(f"store {store.id}: schema {SCHEMA_VERSION}")
