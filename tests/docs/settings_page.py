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

You can set every setting in three places. The first that sets it wins:

1. a flag of `tiergate sidecar`: `--probe-port 9000`;
2. an environment variable: `TIERGATE_PROBE_PORT=9000`;
3. the settings file, in TOML, that `--settings` or `TIERGATE_SETTINGS` names: `probe-port = 9000`.

Otherwise the default applies. If a setting is malformed, out of range or unknown, the process ends at the start with
exit code 2 and a sentence that names the setting, the place, and the likely name of a misspelt one.

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
- An empty variable counts as not set. A variable that begins with `TIERGATE_` and is no setting is ignored with a
  warning, or rejected if it is nearly one. The variables that Kubernetes sets for a Service called `tiergate`
  (`TIERGATE_PORT=tcp://…`) are ignored.
- The sidecar reads settings once, at the start. It [follows](../explanation/file-mode.md) the files that `catalog`,
  `subjects` and `rules` name.
"""
