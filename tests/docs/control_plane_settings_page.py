"""The reference of the control plane's settings, written from their table."""

from __future__ import annotations

from itertools import groupby

from tests.docs.settings_page import row
from tiergate.control.settings import SETTINGS


def control_plane_settings_page() -> str:
    """The page, as docs/reference/control-plane-settings.md should be."""
    parts = [HEAD]
    for group, settings in groupby(SETTINGS, key=lambda setting: setting.group):
        parts += [f"## {group}", "", "| setting | value | default | |", "|---|---|---|---|"]
        parts += [row(setting) for setting in settings]
        parts.append("")
    return "\n".join(parts).rstrip("\n") + "\n"


HEAD = """\
# The control plane's settings

<!-- Generated from the table in src/tiergate/control/settings.py by `make docs`. -->

You can set every setting in three places. The first that sets it wins:

1. a flag of `tiergate control-plane`: `--port 9000`;
2. an environment variable: `TIERGATE_CP_PORT=9000`;
3. the settings file, in TOML, that `--settings` or `TIERGATE_CP_SETTINGS` names: `port = 9000`.

Otherwise the default applies. If a setting is malformed, out of range or unknown, the process ends at the start with
exit code 2 and a sentence that names the setting, the place, and the likely name of a misspelt one.

```toml
# /etc/tiergate/control-plane.toml: relative paths start at this file's folder
database = "postgresql://tiergate@db.internal/tiergate"
signing-key-file = ["signing-key.pem"]
host = "0.0.0.0"
tls-cert = "tls.crt"
tls-key = "tls.key"
issuers-file = "issuers.yaml"
```

- A setting with *several* values is a flag given several times, a variable with commas, a list in the file.
- Durations are seconds, or days if the setting says so.
- An empty variable counts as not set. A variable that begins with `TIERGATE_CP_` and is no setting is ignored with a
  warning, or rejected if it is nearly one. Pass the password of a database in the variable `TIERGATE_CP_DATABASE`, or
  in PostgreSQL's own `PGPASSWORD` and `PGPASSFILE`.
- The control plane reads settings once, at the start; it reads a renewed certificate again.

[Run the control plane](../how-to/run-the-control-plane.md) describes how to run it.
"""
