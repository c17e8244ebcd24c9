"""Writes the files with which the official Cedar command line makes the same decision."""

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
    """Write the files of an explanation, and a README with the command, into a folder, which is created.

    Raises:
        OSError: if a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**explanation.export.files, "README.md": _readme(explanation, answer)}.items():
        (folder / name).write_text(content, encoding="utf-8")


def _readme(explanation: Explanation, answer: Answer) -> str:
    decided = "\n".join(f"- `{policy}`" for policy in answer.policies) or "- none"
    text = f"""# A decision to repeat

Tiergate decided: **{"ALLOW" if answer.allowed else "DENY"}**, `{answer.reason}`.

- principal: `{explanation.principal}`
- action: `Action::"{explanation.action}"`
- resource: `Feature::"{answer.feature}"`
- revision: `{answer.revision}`

The policies that decided:

{decided}

Every Cedar engine makes the same decision, such as the [Cedar command line](https://docs.cedarpolicy.com/) in this
folder:

```sh
{_COMMAND.format(policies="policies.cedar")}
```

`policies.cedar` has the policies that can apply here, and `context.json` is the context of `request.json`.
"""
    if answer.allowed or not any(policy.startswith("reason/") for policy in answer.policies):
        return text
    return f"""{text}
No policy forbids it, and no policy permits it. The reason comes from a second policy set, whose permits grant nothing.
The same command returns `ALLOW` for the reason that applies:

```sh
{_COMMAND.format(policies="reasons.cedar")}
```
"""
