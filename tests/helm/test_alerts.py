"""Prometheus's own tool takes the alerts and the dashboard's questions, and each alert fires when it should."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.docs.pages import ROOT
from tests.helm.charts import needs_helm, objects

FILES: Final = ROOT / "helm" / "tiergate" / "files"
CASES: Final = Path(__file__).with_name("alert_cases.yaml")
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tiergate-ci"
PROMTOOL: Final = (
    os.environ.get("TIERGATE_PROMTOOL") or shutil.which("promtool") or str(CACHE / "promtool/bin/promtool")
)

needs_promtool: Final = pytest.mark.skipif(
    shutil.which(PROMTOOL) is None, reason="no `promtool`: `.ci/promtool` builds it"
)


def promtool(*arguments: str, folder: Path) -> None:
    """Run it; fail with what it says where it fails."""
    ran = subprocess.run([PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"


@needs_promtool
def test_prometheus_takes_the_alerts() -> None:
    """As a file of rules, with every lint."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml", folder=FILES)


@needs_promtool
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """None while all is well, each where its own thing is wrong."""
    shutil.copy(FILES / "alerts.yaml", tmp_path)
    shutil.copy(CASES, tmp_path / "cases.yaml")
    promtool("test", "rules", "cases.yaml", folder=tmp_path)


@needs_helm
@needs_promtool
def test_a_release_s_alerts_speak_of_that_release_alone(tmp_path: Path) -> None:
    """Of two releases in one Prometheus, the one whose control plane is gone alarms, though the other's runs."""
    wanted = {"injector": {"enabled": True}, "monitoring": {"prometheusRule": {"enabled": True}}}
    (rule,) = (it for it in objects(values=wanted) if it["kind"] == "PrometheusRule")
    for release in ("shop", "stage"):
        text = yaml.safe_dump({"groups": rule["spec"]["groups"]}).replace("shop-", f"{release}-")
        (tmp_path / f"{release}.yaml").write_text(text.replace("name: tiergate", f"name: {release}"), encoding="utf-8")
        promtool("check", "rules", "--lint=none", f"{release}.yaml", folder=tmp_path)
    jobs = {
        "tiergate_cp_build_info": "stage-tiergate-control-plane",
        "tiergate_injector_build_info": "plans/stage-tiergate-injector",
        "tiergate_stale": "plans/stage-tiergate-sidecars",
    }
    series = [
        {"series": f'{name}{{namespace="plans",job="{job}",instance="a"}}', "values": "1x120"}
        for name, job in jobs.items()
    ]
    gone = 'tiergate_injector_build_info{job="plans/shop-tiergate-injector",instance="b"}'
    series.append({"series": gone, "values": "1x10 stale"})
    asked = 'count by (alertname, job) (ALERTS{alertstate="firing"})'
    expected = [
        ("TiergateControlPlaneDown", "shop-tiergate-control-plane"),
        ("TiergateInjectorDown", "plans/shop-tiergate-injector"),
        ("TiergateSidecarStale", "plans/stage-tiergate-sidecars"),
    ]
    samples = [{"labels": f'{{alertname="{name}",job="{job}"}}', "value": 1} for name, job in expected]
    check = {"expr": asked, "eval_time": "60m", "exp_samples": samples}
    case = {"interval": "1m", "input_series": series, "promql_expr_test": [check]}
    cases = {"rule_files": ["shop.yaml", "stage.yaml"], "tests": [case]}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases), encoding="utf-8")
    promtool("test", "rules", "cases.yaml", folder=tmp_path)


def test_every_alert_has_its_cases() -> None:
    """It is in the list of those that are silent, and shown to fire."""
    alerts = [
        rule["alert"] for it in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"] for rule in it["rules"]
    ]
    silent, *others = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
    assert [it["alertname"] for it in silent["alert_rule_test"]] == alerts
    firing = set(re.findall(r'alertname="(\w+)"', json.dumps(others).replace('\\"', '"')))
    assert firing == set(alerts)


@needs_promtool
def test_prometheus_takes_what_the_dashboard_asks(tmp_path: Path) -> None:
    """Each expression is well-formed, with its variables filled in."""
    dashboard = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked += [it["expr"] for it in dashboard["annotations"]["list"]]
    assert len(asked) > 30
    rules = [
        {"record": f"dashboard:{number}", "expr": expression.replace("$__rate_interval", "5m").replace("$", "")}
        for number, expression in enumerate(asked)
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", "rules.yaml", folder=tmp_path)
