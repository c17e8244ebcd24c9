"""Writes the reference of the sidecar's settings from their table."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from tiergate.sidecar.settings import SETTINGS

if TYPE_CHECKING:
    from tiergate.process.settings import Setting


def settings_page() -> str:
    """The page, as docs/reference/settings.md should be."""
    parts = [HEAD]
    for group, settings in groupby(SETTINGS, key=lambda setting: setting.group):
        parts += [f"## {group}", "", "| setting | value | default | |", "|---|---|---|---|"]
        parts += [row(setting) for setting in settings]
        parts.append("")
    return "\n".join(parts).rstrip("\n") + "\n"


def row(setting: Setting) -> str:
    """The row of one setting."""
    kind = setting.kind.word.replace("|", " \\| ")
    default = f"`{setting.shown_default}`" if setting.shown_default else ""
    return f"| `{setting.name}` | {kind}{', several' if setting.many else ''} | {default} | {setting.help} |"


HEAD = """\
# The sidecar's settings

<!-- Generated from the table in src/tiergate/sidecar/settings.py by `make docs`. -->

Every setting can be said in three places. The first that says it wins:

1. a flag of `tiergate sidecar`: `--probe-port 9000`;
2. an environment variable: `TIERGATE_PROBE_PORT=9000`;
3. the settings file, in TOML, that `--settings` or `TIERGATE_SETTINGS` names: `probe-port = 9000`.

Where none does, the default holds. What is malformed, out of range or unknown ends the start with exit code 2 and a
sentence that names the setting, the place, and the likely name after a slip.

```toml
# /etc/tiergate/sidecar.toml: relative paths start at this file's folder
catalog = ["catalog.yaml"]
subjects = ["subjects.ndjson"]
data = "/var/lib/tiergate"
log-format = "json"
```

- A setting with *several* values is a flag given several times, a variable with commas, a list in the file.
- Sizes are bytes, or have a unit: `512KiB`, `1MiB`, `1GiB`. Durations are seconds: `0.5`. Modes are octal: `660`, a
  string in the file.
- A variable that is empty counts as not set. One that begins with `TIERGATE_` and is no setting is ignored with a
  warning, or refused where it is nearly one. What Kubernetes sets for a Service called `tiergate`
  (`TIERGATE_PORT=tcp://…`) is passed over.
- Settings are read once, at the start. The files that `catalog`, `subjects` and `rules` name [are
  followed](../explanation/file-mode.md).
"""
