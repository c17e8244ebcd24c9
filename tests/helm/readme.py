"""The chart's README, made from its values and what their comments say.

`# -- …` above a value, and the comment lines that follow it, describe it; all that is below it belongs to it. Another
comment above a key describes the group that begins there. `# ══ …` begins a part.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import yaml

from tests.helm.charts import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator

_PART: Final = re.compile(r"# ══ (?P<title>.+?) ═+")
_KEY: Final = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z][A-Za-z0-9]*):(?: .*)?")

_HEAD: Final = """\
# Tiergate's chart

<!-- Made from values.yaml by `make goldens`. -->

Installs the control plane of Tiergate and, where it is asked to, what puts sidecars into pods: an injector, or one
sidecar per node. Kubernetes 1.29 or later.

```sh
helm install tiergate ./helm/tiergate --namespace tiergate --create-namespace \\
  --set image.repository=registry.example/tiergate-control-plane \\
  --set sidecar.image.repository=registry.example/tiergate-sidecar
helm test tiergate --namespace tiergate
```

The images are built from a clone and pushed to a registry of yours: [how](../../docs/operations/install.md#the-images).
That is one control plane with SQLite on a volume. What it says at the end leads on: to the first admin's key, and to
who may follow as a sidecar. For production:

- a database of its own, and several replicas: `controlPlane.database.type: postgresql`;
- HTTPS: `controlPlane.tls.mode`;
- an object store, by which sidecars start while the control plane is away: `controlPlane.objectStore.url`;
- images by their digests: `image.digest`, `sidecar.image.digest`;
- alerts and a dashboard: `monitoring`.

Each file in `ci/` is a scenario that is tested, and an example. Pages that lead through it:
[Install](../../docs/operations/install.md), [the sidecar in a pod](../../docs/how-to/sidecar-in-a-pod.md).

## What stays

Secrets that are missing are made once, by a Job, before the first install: the signing key, and the first admin's API
key. The Job creates and never changes, so an upgrade rotates nothing, and neither does a tool that renders the chart
without asking the cluster. Uninstalling leaves these Secrets and the volume of the store, and the Secrets that
certificates are in; remove them by hand:

```sh
kubectl delete secret tiergate-signing-key tiergate-admin-key --namespace tiergate
kubectl delete secret tiergate-injector-tls --namespace tiergate --ignore-not-found
kubectl delete persistentvolumeclaim tiergate-control-plane --namespace tiergate
```

## Values

`values.schema.json` knows all of them and refuses every other, so that a slip is found before anything is installed.
"""


@dataclass(frozen=True)
class Entry:
    """A described value, or a group of values, which has no default; `path` has dots."""

    path: str
    says: str
    default: str | None


@dataclass(frozen=True)
class Part:
    """A part of the values."""

    title: str
    says: str
    entries: tuple[Entry, ...]


def read_parts(text: str) -> tuple[Part, ...]:
    """Read the parts of a file of values."""
    values = yaml.safe_load(text)
    _, *rest = re.split(r"(?m)^(?=# ══)", text)
    found = []
    for part in rest:
        first, _, body = part.partition("\n")
        match = _PART.fullmatch(first)
        assert match is not None, f"no part begins with `{first}`"
        says = re.match(r"(?:# (?!--).*\n)*(?=\n)", body)
        intro = "" if says is None else says[0]
        entries = tuple(_entries(body[len(intro) :].splitlines(), values))
        found.append(Part(match["title"], intro.replace("# ", "").strip().replace("\n", " "), entries))
    return tuple(found)


def _entries(lines: list[str], values: object) -> Iterator[Entry]:
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    below: int | None = None  # the indent of the value whose inside is its own affair
    for line in lines:
        stripped = line.strip()
        if not stripped:
            comment = []
        elif stripped.startswith("#"):
            comment = [stripped] if stripped.startswith("# --") else [*comment, stripped]
        elif match := _KEY.fullmatch(line):
            indent = len(match["indent"])
            path = [*(it for it in path if it[0] < indent), (indent, match["key"])]
            if below is not None and indent > below:
                continue
            below = None
            keys = [key for _, key in path]
            says = " ".join(it.removeprefix("#").strip() for it in comment)
            comment = []
            if says.startswith("-- "):
                below = indent
                yield Entry(".".join(keys), says.removeprefix("-- "), _default(values, keys))
            elif says:
                yield Entry(".".join(keys), says, None)


def _default(values: object, keys: list[str]) -> str:
    for key in keys:
        assert isinstance(values, dict)
        values = values[key]
    return json.dumps(values, ensure_ascii=False)


def readme() -> str:
    """Make the page."""
    lines = [_HEAD]
    for part in read_parts((CHART / "values.yaml").read_text(encoding="utf-8")):
        lines += [f"### {part.title}", ""]
        if part.says:
            lines += [part.says, ""]
        lines += ["| value | default | |", "|---|---|---|"]
        for entry in part.entries:
            says = entry.says.replace("|", "\\|")
            default = "" if entry.default is None else f"`{entry.default}`".replace("|", "\\|")
            name = f"**`{entry.path}`**" if entry.default is None else f"`{entry.path}`"
            lines.append(f"| {name} | {default} | {says} |")
        lines.append("")
    return "\n".join(lines)
