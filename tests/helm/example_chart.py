"""The example of a chart of one's own, `examples/helm/shop`, with Tiergate's chart among its dependencies."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

import yaml

from tests.helm.charts import CHART, NEWEST, ROOT, helm

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.helm.charts import Object

EXAMPLE: Final = ROOT / "examples" / "helm" / "shop"


def assembled(folder: Path) -> Path:
    """Copy both charts and have Helm put the one into the other, as a person would; return where the example is."""
    for chart in (CHART, EXAMPLE):
        shutil.copytree(chart, folder / chart.relative_to(ROOT))
    shop = folder / EXAMPLE.relative_to(ROOT)
    done = helm("dependency", "update", shop)
    assert done.returncode == 0, done.stderr
    return shop


def deployment(shop: Path, sidecar: Mapping[str, object], kubernetes: str = NEWEST) -> Object:
    """The Deployment of the example, with these values of a sidecar."""
    values = {"tiergate": {"sidecar": sidecar}}
    done = helm("template", "shop", shop, "--namespace", "shops", "--kube-version", kubernetes, values=values)
    assert done.returncode == 0, done.stderr
    (found,) = (it for it in yaml.safe_load_all(done.stdout) if it["kind"] == "Deployment")
    return dict[str, Any](found)
