"""The page on sidecars in pods: Helm takes its values, the injector its pods, and its excerpts are the example's."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

import pytest
import yaml

from tests.admissions import answer, asked, inject
from tests.docs.pages import examples, spans
from tests.helm.charts import CHART, ROOT, needs_helm, objects, validate
from tests.helm.charts import NEWEST as KUBERNETES
from tests.helm.example_chart import EXAMPLE
from tiergate.cluster.injector.annotations import ANNOTATIONS, DOMAIN, LABEL, STATUS
from tiergate.cluster.injector.pod_template import SOCKET_VARIABLE, URL_VARIABLE

PAGE: Final = ROOT / "docs" / "how-to" / "sidecar-in-a-pod.md"
VALUES: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
BLOCKS: Final = [it for it in examples(PAGE) if it.language in {"yaml", "gotmpl"}]
EXCERPTS: Final = [it for it in BLOCKS if it.text.startswith("# ")]
DOCUMENTS: Final[list[dict[str, Any]]] = [yaml.safe_load(it.text) for it in BLOCKS if it not in EXCERPTS]


def shown(*, pods: bool) -> list[dict[str, Any]]:
    """The pods that the page shows, or the values."""
    return [it for it in DOCUMENTS if it.get("kind") == ("Pod" if pods else None)]


@needs_helm
@pytest.mark.parametrize("values", shown(pods=False), ids="+".join)
def test_values_for_the_chart_are_taken(values: dict[str, Any]) -> None:
    """Helm renders objects of them that Kubernetes knows."""
    for one in objects(values=values):
        if "cert-manager" not in one["apiVersion"]:
            validate(one, KUBERNETES)


def test_the_stateful_set_keeps_the_data_in_its_claim() -> None:
    """Kubernetes knows it; its pods, which have the claim when they are reviewed, get a sidecar with it."""
    (stateful_set,) = (it for it in DOCUMENTS if it.get("kind") == "StatefulSet")
    validate(stateful_set, KUBERNETES)
    (claim,) = stateful_set["spec"]["volumeClaimTemplates"]
    name = claim["metadata"]["name"]
    template = json.loads(json.dumps(stateful_set["spec"]["template"]))
    template["spec"]["volumes"] = [{"name": name, "persistentVolumeClaim": {"claimName": f"{name}-shop-0"}}]
    document = asked("least")
    document["request"]["object"] |= template
    response = answer(inject(document))
    assert response["allowed"], response
    assert "warnings" not in response
    added = [it["value"] for it in json.loads(base64.b64decode(response["patch"]))]
    (containers,) = (it for it in added if isinstance(it, list) and it[0]["name"] == "tiergate")
    assert {"name": name, "mountPath": "/var/lib/tiergate"} in containers[0]["volumeMounts"]


def test_the_page_shows_values_pods_and_excerpts() -> None:
    """The tests here have something to look at."""
    assert len(shown(pods=False)) >= 5
    assert len(shown(pods=True)) == 2
    assert len(EXCERPTS) == 3


def test_the_pod_with_the_label_gets_a_sidecar() -> None:
    """With the annotations that it shows; the other one, of the daemon set, asks for none."""
    labelled, other = shown(pods=True)
    document = asked("least")
    document["request"]["object"] |= labelled
    response = answer(inject(document))
    assert response["allowed"], response
    added = {it["path"] for it in json.loads(base64.b64decode(response["patch"]))}
    assert "/spec/containers/0/env" in added
    assert "/spec/containers/1/env" not in added
    assert LABEL not in other["metadata"].get("labels", {})


@pytest.mark.parametrize("excerpt", EXCERPTS, ids=lambda it: it.text.splitlines()[0])
def test_excerpts_are_of_the_example(excerpt: Any) -> None:  # noqa: ANN401 - an example of a page
    """Line by line, in the file that the first one names."""
    first, *lines = excerpt.text.splitlines()
    file = EXAMPLE / first.removeprefix("# ")
    known = [line.partition(" # ")[0].rstrip() for line in file.read_text(encoding="utf-8").splitlines()]
    places = [known.index(line.partition(" # ")[0].rstrip()) for line in lines if line.strip()]
    assert places == sorted(places)


def test_every_value_that_is_named_exists() -> None:
    """A path that begins with a part of the chart leads somewhere."""
    followed = 0
    for name in spans(PAGE):
        path = name.partition(":")[0].split(".")
        if len(path) > 1 and path[0] in VALUES:
            found: Any = VALUES
            for part in path:
                assert part in found, name
                found = found[part]
            followed += 1
    assert followed > 10


def test_every_annotation_and_variable_that_is_named_exists() -> None:
    """By the injector's own list."""
    known = {DOMAIN + one.name for one in ANNOTATIONS} | {STATUS, LABEL}
    assert {it for it in spans(PAGE) if it.startswith(DOMAIN)} <= known
    assert {it for it in spans(PAGE) if it.startswith("TIERGATE_")} == {URL_VARIABLE, SOCKET_VARIABLE}
