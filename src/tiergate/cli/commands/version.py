"""`tiergate version`: print the installed versions."""

from __future__ import annotations

import typer

from tiergate.cli.output.console import print_line
from tiergate.cli.output.errors import print_json
from tiergate.cli.shared_options import AsJson

app = typer.Typer()


@app.command()
def version(*, as_json: AsJson = False) -> None:
    """Print the versions of Tiergate, the bundle format, the Cedar engine and Python."""
    import platform
    from importlib import metadata

    from tiergate import __version__
    from tiergate.bundle import FORMAT

    parts = {
        "tiergate": __version__,
        "bundle_format": FORMAT,
        "cedarpy": metadata.version("cedarpy"),
        "python": platform.python_version(),
    }
    if as_json:
        print_json(parts)
    else:
        print_line(f"tiergate {__version__}")
        print_line(f"bundle format {FORMAT}, cedarpy {parts['cedarpy']}, Python {parts['python']}")
