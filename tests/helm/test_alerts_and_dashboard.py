"""The files of the chart that Prometheus and Grafana read: what they name exists, and every alert is explained."""

from __future__ import annotations

import json
import re
import time
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.control_planes import control_plane
from tests.docs.pages import ROOT
from tests.system.processes import check_request, sidecar
from tiergate.cluster.injector.webhook import InjectorMetrics
from tiergate.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES: Final = ROOT / "helm" / "tiergate" / "files"
ALERTS: Final = yaml.safe_load((FILES / "alerts.yaml").read_text(encoding="utf-8"))
DASHBOARD: Final = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
PAGES: Final = [
    ROOT / "docs" / page
    for page in ("reference/metrics.md", "how-to/run-the-control-plane.md", "reference/injector.md")
]
EXPLANATIONS: Final = ROOT / "docs" / "operations" / "alerts.md"
SAMPLE: Final = ROOT / "examples" / "streaming" / "catalog.yaml"

TARGET_LABELS: Final = {"instance", "namespace", "job", "pod"}
"""What Prometheus itself puts on what it scrapes."""

_NAME: Final = re.compile(r"\b(?:tiergate|process)_\w+")
_SELECTOR: Final = re.compile(r"\b((?:tiergate|process)_\w+)\{([^}]*)\}")
_LABEL: Final = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING: Final = re.compile(r"\b(?:by|without|on)\s*\(([^)]*)\)")
_BUILT: Final = {"le", "publication"}
"""Labels that a histogram has, and that `count_values` makes."""


class Rule(NamedTuple):
    """An alert."""

    name: str
    expression: str
    severity: str
    summary: str


def rules() -> list[Rule]:
    """Every alert of the file."""
    return [
        Rule(it["alert"], it["expr"], it["labels"]["severity"], it["annotations"]["summary"])
        for group in ALERTS["groups"]
        for it in group["rules"]
    ]


def panels() -> list[dict[str, Any]]:
    """Every panel of the dashboard that shows something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Every question to Prometheus in either file, by where it stands."""
    found = {rule.name: rule.expression for rule in rules()}
    found |= {f"{it['title']}, {target['refId']}": target["expr"] for it in panels() for target in it["targets"]}
    found |= {it["name"]: it["expr"] for it in DASHBOARD["annotations"]["list"]}
    return found


def _with_budgets(url: str) -> str:
    """The metrics of a control plane as soon as it has looked at the error budgets."""
    while True:
        text = httpx.get(url).text
        if "tiergate_cp_error_budget_burn_rate{" in text:
            return text
        time.sleep(0.05)


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The names of all samples of a control plane, a sidecar that follows it, one of files, and an injector: labels."""
    folder = tmp_path_factory.mktemp("exposed")
    exports = ("--object-store", f"file://{folder}/depot", "--usage-export", f"file://{folder}/usage")
    with control_plane(folder, None, *exports) as plane:
        promised = SAMPLE.read_text(encoding="utf-8").replace(
            "type: quantity", "type: quantity\n    service_level: {availability: 99.9}", 1
        )
        catalog = {"name": SAMPLE.name, "text": promised}
        plane.client().post("/v1/apply", json={"catalog": [catalog]}).raise_for_status()
        arguments: list[str | Path] = [
            *("--control-plane", plane.url, "--key-file", plane.key_file("sidecar")),
            *("--public-key", plane.public_key_file, "--data", folder / "sidecar", "--data-limit", "1GiB"),
        ]
        with sidecar(*arguments) as follower:
            follower.until(lambda status: status.get("last_sync_at"))
            plane.client().put("/v1/customers/acme", json={}).raise_for_status()
            follower.until(lambda status: "clock_skew_seconds" in status)
            follower.ask(check_request("nobody"))
            follower.ask(check_request("nobody", "moovies"))
            texts = [follower.probe("/metrics")[1], _with_budgets(f"{plane.url}/metrics")]
    with sidecar("--catalog", SAMPLE, "--subjects", SAMPLE.with_name("subjects.yaml")) as reader:
        texts.append(reader.probe("/metrics")[1])
    texts.append(generate_latest(InjectorMetrics().registry).decode())
    found: dict[str, set[str]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("where", expressions())
def test_what_an_expression_names_is_exposed(where: str, exposed: dict[str, set[str]]) -> None:
    """Metrics are those of real processes, and labels those that they have."""
    expression = expressions()[where]
    names = set(_NAME.findall(expression))
    assert names
    assert names <= set(exposed)
    for name, matchers in _SELECTOR.findall(expression):
        assert set(_LABEL.findall(re.sub(r'"[^"]*"', "", matchers))) <= exposed[name] | TARGET_LABELS
    grouped = {label.strip() for labels in _GROUPING.findall(expression) for label in labels.split(",")} - {""}
    assert grouped <= set().union(*(exposed[name] for name in names)) | TARGET_LABELS | _BUILT


@pytest.mark.parametrize("where", expressions())
def test_what_an_expression_names_is_documented(where: str) -> None:
    """Whoever looks at an alert or a panel finds each metric of Tiergate's on a page."""
    documented = {name for page in PAGES for name in re.findall(r"`(tiergate_\w+)", page.read_text(encoding="utf-8"))}
    names = {name.removesuffix("_bucket") for name in _NAME.findall(expressions()[where])}
    assert {name for name in names if name.startswith("tiergate_")} <= documented


def test_every_alert_is_explained_and_no_other() -> None:
    """Its name is a heading of the page, in the order of the file, and its severity stands there."""
    page = EXPLANATIONS.read_text(encoding="utf-8")
    headings = re.findall(r"^### (Tiergate\w+)\n\n\*\*(critical|warning)\*\*", page, re.MULTILINE)
    assert headings == [(rule.name, rule.severity) for rule in rules()]


def test_every_value_of_a_reason_is_one() -> None:
    """A reason that an expression asks for is one that decisions have."""
    asked = {
        reason
        for expression in expressions().values()
        for values in re.findall(r'reason=~?"([^"]*)"', expression)
        for reason in values.split("|")
    }
    assert asked
    assert asked <= {reason.value for reason in Reason}


def test_the_dashboard_can_be_read_by_grafana() -> None:
    """Ids are unique, panels do not lie on one another, each asks the chosen data source, and says what it shows."""
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    for one, other in combinations((panel["gridPos"] for panel in every), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    for panel in panels():
        assert panel["description"].endswith(".")
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    known = {"datasource", "__rate_interval"} | {it["name"] for it in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([panel["targets"] for panel in panels()])))
    assert used <= known


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def test_templates_of_alerts_name_labels_that_they_have() -> None:
    """`{{ $labels.x }}` is a label of the target, or one that the expression keeps."""
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            named = {name for text in _strings(rule["annotations"]) for name in re.findall(r"\$labels\.(\w+)", text)}
            assert named <= {"instance", "group", "feature"}
            if rule["expr"].startswith("absent("):
                assert not named
