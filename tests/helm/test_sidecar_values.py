"""The values of sidecars: their schema knows what the sidecar, the injector and their tables know, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.helm.charts import CHART, needs_helm, refusal
from tiergate.cluster.injector import settings as injector
from tiergate.cluster.injector.annotations import ANNOTATIONS, DEFAULT_ANNOTATIONS
from tiergate.cluster.injector.pod_template import Sidecar, sidecar_container
from tiergate.sidecar.settings import REASONS, SETTINGS

if TYPE_CHECKING:
    from tiergate.process.settings import Setting

SCHEMA: Final[dict[str, Any]] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["definitions"]
VALUES: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

FILES: Final = {
    "catalog",
    "subjects",
    "rules",
    "load-timeout",
    "strict-subjects",
    "token-file",
    "decision-log-key-file",
}
"""Settings that name files, of which a pod of the chart's has none."""
PLACES: Final = {"host", "uds-group"}
"""Settings that say where it listens in another way than the chart does."""


def own_settings() -> set[str]:
    """The settings that have values of their own, and so must not be among `settings`."""
    names = {one.name for one in SETTINGS}
    return {name for name in names if not accepts(name)}


def accepts(name: str) -> bool:
    """Say whether the fragment takes a setting among `settings`."""
    try:
        sidecar_container(Sidecar(image="tiergate", control_plane="https://plane", settings={name: "1"}))
    except ValueError:
        return False
    return True


def test_the_schema_has_every_setting_of_the_sidecar_that_has_no_value_of_its_own() -> None:
    """A new one must find its place here."""
    expected = {one.name for one in SETTINGS} - own_settings() - FILES - PLACES
    assert SCHEMA["sidecarSettings"]["properties"].keys() == expected
    assert SCHEMA["sidecarSettings"]["additionalProperties"] is False


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda it: it.name)
def test_the_schema_takes_of_a_setting_what_the_sidecar_takes(setting: Setting) -> None:
    """Several where several can be said, and of words just those."""
    schema = SCHEMA["sidecarSettings"]["properties"].get(setting.name)
    if schema is None:
        return
    assert (schema.get("type") == "array") == setting.many
    one = schema["items"] if setting.many else schema
    if "enum" in one:
        assert one["enum"] == (list(REASONS) if setting.kind.word == "reason" else setting.kind.word.split("|"))
    else:
        assert "|" not in setting.kind.word


def test_the_schema_has_the_settings_of_the_injector_that_are_the_operators() -> None:
    """The rest, the chart says itself."""
    said_by_the_chart = {
        "sidecar-file", "public-key", "control-plane-ca", "allow-annotation", "tls-cert", "tls-key", "service",
        "webhook", "certificate-secret", "certificate-name", "service-account",
    }  # fmt: skip
    properties = SCHEMA["injector"]["properties"]["settings"]["properties"]
    assert properties.keys() == {one.name for one in injector.SETTINGS} - said_by_the_chart


def test_the_annotations_that_are_allowed_are_the_usual_ones() -> None:
    """And the schema knows all that there are."""
    assert VALUES["injector"]["allowedAnnotations"] == list(DEFAULT_ANNOTATIONS)
    names = SCHEMA["injector"]["properties"]["allowedAnnotations"]["items"]["enum"]
    assert names == [one.name for one in ANNOTATIONS]


def test_the_values_are_the_defaults_of_the_injector() -> None:
    """Who injects without the chart gets the same sidecar."""
    usual = Sidecar(image="tiergate", control_plane="https://plane")
    values = VALUES["sidecar"]
    assert (values["port"], values["probePort"]) == (usual.port, usual.probe_port)
    assert values["socketPath"] == usual.socket_path
    assert values["startupDeadline"] == usual.startup_deadline
    assert values["token"]["seconds"] == usual.token_seconds
    assert VALUES["controlPlane"]["issuers"]["kubernetes"]["audience"] == usual.token_audience
    assert values["resources"] == {"requests": usual.resources.requests, "limits": usual.resources.limits}
    assert usual.data == {values["data"]["type"]: {"sizeLimit": values["data"]["size"]}}


@needs_helm
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sidecar": {"startupDeadlin": 5}}, "startupDeadlin"),
        ({"sidecar": {"settings": {"max-stalenes": 5}}}, "max-stalenes"),
        ({"sidecar": {"settings": {"control-plane": "https://elsewhere"}}}, "control-plane"),
        ({"sidecar": {"settings": {"log-level": "loud"}}}, "log-level"),
        ({"sidecar": {"settings": {"stale-deny": "exports"}}}, "stale-deny"),
        ({"sidecar": {"publicKeys": ["public-key.pem"]}}, "publicKeys"),
        ({"sidecar": {"data": {"type": "hostPath"}}}, "data/type"),
        ({"sidecar": {"objectStoreVolume": {"nfs": {}, "hostPath": {}}}}, "objectStoreVolume"),
        ({"sidecar": {"socketPath": "/sidecar.sock"}}, "socketPath"),
        ({"sidecar": {"port": 80}}, "port"),
        ({"sidecar": {"resources": {"limit": {"cpu": "1"}}}}, "limit"),
        ({"injector": {"failurePolicy": "fail"}}, "failurePolicy"),
        ({"injector": {"allowedAnnotations": ["image"]}}, "allowedAnnotations"),
        ({"injector": {"certificates": {"mode": "self-signed"}}}, "mode"),
        ({"injector": {"replicas": 0}}, "replicas"),
        ({"daemonset": {"socketFolder": "run"}}, "socketFolder"),
        ({"daemonset": {"hostNetwork": True}}, "hostNetwork"),
    ],
)
def test_a_value_that_is_misspelt_or_wrong_is_refused_by_its_name(values: dict[str, Any], said: str) -> None:
    """Before anything is installed."""
    assert said.rpartition("/")[2] in refusal(values)
