"""Writes what the official Cedar command line needs to reach the same decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.client import Answer
    from tiergate.engine import Explanation

_COMMAND = """cedar authorize \\
  --policies {policies} \\
  --schema schema.cedarschema \\
  --entities entities.json \\
  --request-json request.json \\
  --verbose"""


def write_export(explanation: Explanation, answer: Answer, folder: Path) -> None:
    """Write the files of an explanation, and a README with the command, into a folder, which is made.

    Raises:
        OSError: the file system refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**explanation.export.files, "README.md": _readme(explanation, answer)}.items():
        (folder / name).write_text(content, encoding="utf-8")


def _readme(explanation: Explanation, answer: Answer) -> str:
    decided = "\n".join(f"- `{policy}`" for policy in answer.policies) or "- none"
    text = f"""# A decision, to be repeated

Tiergate decided: **{"ALLOW" if answer.allowed else "DENY"}**, `{answer.reason}`.

- principal: `{explanation.principal}`
- action: `Action::"{explanation.action}"`
- resource: `Feature::"{answer.feature}"`
- revision: `{answer.revision}`

The policies that decided:

{decided}

Any Cedar engine decides the same. With the [Cedar command line](https://docs.cedarpolicy.com/), in this folder:

```sh
{_COMMAND.format(policies="policies.cedar")}
```

`policies.cedar` holds the policies that can matter here, and `context.json` is the context of `request.json`.
"""
    if answer.allowed or not any(policy.startswith("reason/") for policy in answer.policies):
        return text
    return f"""{text}
Nothing forbade it, and nothing permitted it. The reason comes from a second set, whose permits allow nothing; it is
asked in the same way, and says `ALLOW` for the reason that applies:

```sh
{_COMMAND.format(policies="reasons.cedar")}
```
"""
