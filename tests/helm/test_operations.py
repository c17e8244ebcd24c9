"""What the pages on operations ask of a cluster is what the chart puts there; alerts and dashboard arrive whole."""

from __future__ import annotations

import json
import re
from typing import Final

import yaml

from tests.docs.pages import ROOT, examples
from tests.helm.charts import CHART, NEWEST, Object, helm, needs_helm, objects

PAGES: Final = sorted((ROOT / "docs" / "operations").glob("*.md"))
_NAMED: Final = re.compile(r"\b(deploy|service|secret|pvc)[/ ](?:-n tiergate )?(tiergate-[\w-]+)")
_KINDS: Final = {"deploy": "Deployment", "service": "Service", "pvc": "PersistentVolumeClaim", "secret": "Secret"}


def installed() -> set[tuple[str, str]]:
    """Kinds and names of what a release `tiergate` has by default, and of the Secrets that its Job makes."""
    done = helm("template", "tiergate", CHART, "--namespace", "tiergate", "--kube-version", NEWEST)
    assert done.returncode == 0, done.stderr
    found: list[Object] = [it for it in yaml.safe_load_all(done.stdout) if it]
    jobs = [it for it in found if it["kind"] == "Job"]
    arguments = [word for it in jobs for word in it["spec"]["template"]["spec"]["containers"][0]["args"]]
    made = {("Secret", word.partition("=")[2]) for word in arguments if word.startswith("--")}
    return {(it["kind"], it["metadata"]["name"]) for it in found} | made


@needs_helm
def test_what_kubectl_is_asked_about_is_there() -> None:
    """Every object that a command of a page names is one of a release as the pages install it."""
    named = {
        (_KINDS[kind], name)
        for page in PAGES
        for example in examples(page)
        if example.language == "sh"
        for kind, name in _NAMED.findall(example.text)
    }
    assert len(named) >= 4
    assert named <= installed()


@needs_helm
def test_the_rule_has_every_alert_as_the_file_has_it() -> None:
    """Only the labels that the operator wants are added, and each series is matched to the release."""
    file = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))
    wanted = {
        "injector": {"enabled": True},
        "monitoring": {"prometheusRule": {"enabled": True, "alertLabels": {"team": "plans"}}},
    }
    (rule,) = (it for it in objects(values=wanted) if it["kind"] == "PrometheusRule")
    for group in file["groups"]:
        for alert in group["rules"]:
            alert["labels"]["team"] = "plans"
    for group in rule["spec"]["groups"]:
        for alert in group["rules"]:
            assert len(re.findall(r"tiergate_\w+", alert["expr"])) == len(
                re.findall(r"tiergate_\w+{(job|name)", alert["expr"])
            )
            alert["expr"] = re.sub(r'(namespace="\w+",)?job=~?"[^"]+",?', "", alert["expr"]).replace("{}", "")
    for group in file["groups"]:
        for alert in group["rules"]:
            alert["expr"] = re.sub(r"{\s+", "{", alert["expr"])
    assert rule["spec"]["groups"] == file["groups"]


@needs_helm
def test_the_dashboard_arrives_whole() -> None:
    """In a ConfigMap, as JSON."""
    wanted = {"monitoring": {"dashboard": {"enabled": True}}}
    maps = [it for it in objects(values=wanted) if it["kind"] == "ConfigMap" and "tiergate.json" in it["data"]]
    (one,) = maps
    assert json.loads(one["data"]["tiergate.json"]) == json.loads((CHART / "files" / "dashboard.json").read_text())
