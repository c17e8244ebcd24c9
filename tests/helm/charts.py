"""The chart as the real `helm` renders it. Where there is none, its tests are skipped; CI builds one (`.ci/helm`).

Helm is looked for in `$TIERGATE_HELM`, on the path, and where CI keeps what it builds.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "helm" / "tiergate"
SCENARIOS: Final = tuple(sorted(CHART.glob("ci/*-values.yaml")))
OLDEST: Final = "1.29"
"""The oldest Kubernetes that the chart is for."""
NEWEST: Final = str(kubernetes_validate.latest_version())
"""The newest Kubernetes whose schemas are at hand."""

Object = dict[str, Any]
"""An object of Kubernetes, as it is read from YAML."""


@functools.cache
def helm_command() -> str | None:
    """The path of the `helm` command, if there is one."""
    if named := os.environ.get("TIERGATE_HELM"):
        return named
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tiergate-ci" / "helm" / "bin" / "helm"
    return shutil.which("helm") or (str(kept) if kept.exists() else None)


needs_helm = pytest.mark.skipif(helm_command() is None, reason="there is no `helm`: `.ci/helm` builds one")


def helm(*arguments: str | Path, values: Mapping[str, object] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Helm to its end, with `values` as a last file of values; whether it failed is the caller's to look at."""
    command = [str(helm_command()), *map(str, arguments)]
    if values is not None:
        command += ["--values", "-"]
    written = None if values is None else json.dumps(values)
    return subprocess.run(command, input=written, capture_output=True, text=True, check=False, timeout=60)


def rendered(
    *scenarios: Path, values: Mapping[str, object] | None = None, kubernetes: str = NEWEST, more: tuple[str, ...] = ()
) -> str:
    """What a release `shop` in the namespace `plans` is made of, as text."""
    files = [part for scenario in scenarios for part in ("--values", str(scenario))]
    done = helm(
        "template", "shop", CHART, "--namespace", "plans", "--kube-version", kubernetes, *files, *more, values=values
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _rendered(scenarios: tuple[Path, ...], values: str, kubernetes: str) -> str:
    return rendered(*scenarios, values=json.loads(values), kubernetes=kubernetes)


def objects(
    *scenarios: Path, values: Mapping[str, object] | None = None, kubernetes: str = NEWEST
) -> tuple[Object, ...]:
    """The objects that a release `shop` in the namespace `plans` is made of, hooks included."""
    text = _rendered(scenarios, json.dumps(values), kubernetes)
    return tuple(it for it in yaml.load_all(text, yaml.CSafeLoader) if it)


class UnknownToKubernetesError(Exception):
    """An object is not as Kubernetes' schemas say."""


def validate(one: Object, kubernetes: str) -> None:
    """Hold an object against the schemas of a version of Kubernetes, in which no field is one too many.

    Raises:
        UnknownToKubernetesError: it is not as they say, or there is no schema of its kind.
    """
    try:
        kubernetes_validate.validate(one, kubernetes, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        raise UnknownToKubernetesError(f"{one['kind']} {one['metadata']['name']}: {error.message}") from error


def notes(*scenarios: Path, folder: Path) -> str:
    """What Helm says after installing. It shows that of a cluster only, so a copy of the chart in `folder` tells it."""
    copy = shutil.copytree(CHART, folder / "tiergate")
    teller = 'kind: ConfigMap\ndata: {notes: {{ include (print $.Template.BasePath "/NOTES.txt") . | toJson }}}\n'
    (copy / "templates" / "teller.yaml").write_text(teller, encoding="utf-8")
    files = [part for scenario in scenarios for part in ("--values", str(scenario))]
    only = ("--show-only", "templates/teller.yaml")
    done = helm("template", "shop", copy, "--namespace", "plans", "--kube-version", NEWEST, *only, *files)
    assert done.returncode == 0, done.stderr
    return str(yaml.safe_load(done.stdout)["data"]["notes"])


def find(found: tuple[Object, ...], kind: str, name: str) -> Object:
    """Find the one object of this kind and name."""
    (one,) = (it for it in found if it["kind"] == kind and it["metadata"]["name"] == name)
    return one


def refusal(values: Mapping[str, object], *scenarios: Path) -> str:
    """What Helm says against these values; fail where it says nothing."""
    files = [part for scenario in scenarios for part in ("--values", str(scenario))]
    done = helm("template", "shop", CHART, "--kube-version", NEWEST, *files, values=values)
    assert done.returncode != 0, "helm took these values"
    return done.stderr


def pod_of(one: Object) -> Object | None:
    """The specification of the pods that an object is or makes, if it does."""
    spec = one.get("spec", {})
    match one["kind"]:
        case "Pod":
            pod: Object = spec
        case "Deployment" | "DaemonSet" | "StatefulSet" | "Job":
            pod = spec["template"]["spec"]
        case "CronJob":
            pod = spec["jobTemplate"]["spec"]["template"]["spec"]
        case _:
            return None
    return pod


def containers_of(pod: Object) -> Iterator[Object]:
    """All containers of a pod, in the order in which they start."""
    yield from pod.get("initContainers", [])
    yield from pod["containers"]
