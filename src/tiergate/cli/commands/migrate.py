"""`tiergate migrate`: migrate a store's database to this release, or create it."""

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
    """Migrate the database of a store to this release, or create a new store in it.

    Back up the database first: a migration cannot be undone. It is one transaction: a failure changes nothing, and
    several control planes may start it at once.
    """
    require_control_plane()
    from tiergate.store import Store
    from tiergate.store.schema import SCHEMA_VERSION

    store = Store.open(database, migrating=True)
    store.close()
    print_line(f"store {store.id}: schema {SCHEMA_VERSION}")
