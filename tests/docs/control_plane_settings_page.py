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

Every setting can be said in three places. The first that says it wins:

1. a flag of `tiergate control-plane`: `--port 9000`;
2. an environment variable: `TIERGATE_CP_PORT=9000`;
3. the settings file, in TOML, that `--settings` or `TIERGATE_CP_SETTINGS` names: `port = 9000`.

Where none does, the default holds. What is malformed, out of range or unknown ends the start with exit code 2 and a
sentence that names the setting, the place, and the likely name after a slip.

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
- Durations are seconds, or days where that is said.
- A variable that is empty counts as not set. One that begins with `TIERGATE_CP_` and is no setting is ignored with a
  warning, or refused where it is nearly one. The password of a database is best given by the variable
  `TIERGATE_CP_DATABASE`, or by PostgreSQL's own `PGPASSWORD` and `PGPASSFILE`.
- Settings are read once, at the start; a certificate that was renewed is read again.

How it is run: [Run the control plane](../how-to/run-the-control-plane.md).
"""
