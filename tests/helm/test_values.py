"""Values that are wrong are refused, with the place where they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from tests.helm.charts import CHART, SCENARIOS, needs_helm, objects, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
POSTGRESQL = {"type": "postgresql", "postgresql": {"existingSecret": "database"}}

OPEN = {
    "affinity", "alertLabels", "database", "dnsConfig", "global", "objectSelector", "overrides", "securityContext",
    "timeouts", "webhookAnnotations",
    "annotations", "behavior", "commonAnnotations", "commonLabels", "emptyDir", "labels",
    "namespaceSelector", "nodeSelector", "objectStoreVolume", "podAnnotations", "podLabels", "podSecurityContext",
    "selector", "serviceAccountAnnotations", "serviceAnnotations", "tlsConfig",
}  # fmt: skip
"""Values whose inside is Kubernetes' own, or free."""


def groups(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Give the paths of all groups of values whose keys the chart decides on."""
    yield path
    for key, inner in value.items():
        if isinstance(inner, dict) and key not in OPEN:
            yield from groups(inner, (*path, key))


def at(path: tuple[str, ...], value: object) -> dict[str, Any]:
    """Put a value at a path."""
    for key in reversed(path):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def merged(into: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Merge values as Helm does."""
    result = dict(into)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def test_the_schema_is_one() -> None:
    """And the chart's own values, and every scenario's, are as it says."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    for scenario in SCENARIOS:
        jsonschema.validate(merged(VALUES, yaml.safe_load(scenario.read_text(encoding="utf-8")) or {}), SCHEMA)


@pytest.mark.parametrize("path", list(groups(VALUES)), ids=".".join)
def test_a_misspelt_value_is_refused_everywhere(path: tuple[str, ...]) -> None:
    """In whichever group of values it stands."""
    with pytest.raises(jsonschema.ValidationError) as refused:
        jsonschema.validate(merged(VALUES, at((*path, "enabeld"), value="x")), SCHEMA)
    assert tuple(refused.value.absolute_path)[: len(path)] == path


@needs_helm
@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"controlplane": {}}, "controlplane"),
        ({"controlPlane": {"replica": 2}}, "replica"),
        ({"controlPlane": {"settings": {"log-levle": "debug"}}}, "log-levle"),
        ({"controlPlane": {"settings": {"port": 1}}}, "port"),
        ({"controlPlane": {"settings": {"log-level": "loud"}}}, "log-level"),
        ({"controlPlane": {"replicas": 2}}, "/controlPlane/replicas"),
        ({"controlPlane": {"replicas": -1, "database": POSTGRESQL}}, "/controlPlane/replicas"),
        ({"controlPlane": {"replicas": "2", "database": POSTGRESQL}}, "/controlPlane/replicas"),
        ({"controlPlane": {"autoscaling": {"enabled": True}}}, "/controlPlane/autoscaling/enabled"),
        ({"controlPlane": {"database": {"type": "postgresql"}}}, "/postgresql/existingSecret"),
        ({"controlPlane": {"database": {"type": "mysql"}}}, "/controlPlane/database/type"),
        ({"controlPlane": {"database": {"sqlite": {"persistence": {"size": "8 GB"}}}}}, "/persistence/size"),
        ({"controlPlane": {"tls": {"mode": "secret"}}}, "/tls/existingSecret"),
        ({"controlPlane": {"tls": {"mode": "certManager"}}}, "/issuerRef/name"),
        ({"controlPlane": {"tls": {"mode": False}}}, "/tls/mode"),
        ({"controlPlane": {"ingress": {"enabled": True}}}, "/ingress/hosts"),
        ({"controlPlane": {"networkPolicy": {"from": []}}}, "/networkPolicy/from"),
        ({"controlPlane": {"objectStore": {"url": "https://bucket.example"}}}, "/objectStore/url"),
        ({"controlPlane": {"issuers": {"kubernetes": {"sidecars": ["shop"]}}}}, "/kubernetes/sidecars/0"),
        ({"controlPlane": {"issuers": {"kubernetes": {"sidecars": ["*:default"]}}}}, "/kubernetes/sidecars/0"),
        ({"controlPlane": {"issuers": {"additional": [{"name": "okta"}]}}}, "/issuers/additional/0"),
        ({"controlPlane": {"resources": {"limits": {"memory": "1 GiB"}}}}, "/resources/limits/memory"),
        ({"controlPlane": {"podDisruptionBudget": {"maxUnavailable": 0}}}, "/podDisruptionBudget/maxUnavailable"),
        ({"controlPlane": {"settings": {"shutdown-timeout": 41}}}, "terminationGracePeriodSeconds is less than 46"),
        (
            {"controlPlane": {"database": POSTGRESQL, "autoscaling": {"enabled": True, "minReplicas": 9}}},
            "minReplicas is more than maxReplicas",
        ),
        (
            {"injector": {"enabled": True, "settings": {"shutdown-timeout": 20.5}}},
            "injector.terminationGracePeriodSeconds is less than 31",
        ),
        (
            {"daemonset": {"enabled": True}, "sidecar": {"settings": {"shutdown-timeout": 26}}},
            "daemonset.terminationGracePeriodSeconds is less than 31",
        ),
        (
            {"injector": {"enabled": True}, "sidecar": {"startupDeadline": 0, "settings": {"startup-allow": ["*"]}}},
            "`startup-allow` where `sidecar.startupDeadline` is 0",
        ),
        ({"image": {"digest": "sha256:abc"}}, "/image/digest"),
        ({"image": {"repository": ""}}, "/image/repository"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"imagePullSecrets": [{"nam": "registry"}]}, "/imagePullSecrets/0"),
        ({"global": {"imageRegistry": "https://r"}}, "/global/imageRegistry"),
        ({"controlPlane": {"tls": None}}, "tls"),
        ({"controlPlane": {"httpRoute": {"enabled": True}}}, "/controlPlane/httpRoute/parentRefs"),
        (
            {
                "controlPlane": {
                    "tls": {"mode": "certManager", "certManager": {"issuerRef": {"name": "x"}, "dnsNamesOnly": True}}
                }
            },
            "`controlPlane.tls.certManager.dnsNamesOnly`",
        ),
        ({"sidecar": {"extraVolumes": [{"name": "ca"}]}}, "/sidecar/extraVolumes/0/name"),
        ({"sidecar": {"settings": {"AWS_ENDPOINT_URL": "https://minio"}}}, "AWS_ENDPOINT_URL"),
        ({"monitoring": {"prometheusRule": {"enabled": True, "disabled": ["Tiergate"]}}}, "no such alert"),
        ({"monitoring": {"prometheusRule": {"enabled": True, "overrides": {"X": {}}}}}, "no such alert"),
        ({"monitoring": {"prometheusRule": {"enabled": True, "matchers": "cluster"}}}, "/prometheusRule/matchers"),
        (
            {"openshift": {"adaptSecurityContext": "force"}, "daemonset": {"enabled": True}},
            "`daemonset.prepareFolders`",
        ),
        ({"fullnameOverride": "Not_A_Name"}, "/fullnameOverride"),
        ({"monitoring": {"serviceMonitor": {"interval": "30"}}}, "/serviceMonitor/interval"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_helm_refuses_what_would_not_work(values: Mapping[str, object], where: str) -> None:
    """And says where it stands, before anything is installed."""
    assert where in refusal(values)


@needs_helm
@pytest.mark.parametrize(
    "values",
    [
        {"controlPlane": {"replicas": 3, "database": POSTGRESQL}},
        {"controlPlane": {"database": POSTGRESQL, "autoscaling": {"enabled": True}}},
        {
            "controlPlane": {"enabled": False, "database": {"type": "postgresql"}},
            "sidecar": {"controlPlane": {"url": "https://cp.example"}},
        },
        {"controlPlane": {"resources": {"limits": {"memory": "1Gi", "cpu": 2, "example.com/gpu": 1}}}},
    ],
    ids=["replicas on PostgreSQL", "autoscaling on PostgreSQL", "no control plane", "further resources"],
)
def test_helm_takes_what_works(values: Mapping[str, object]) -> None:
    """The refusals above are no wider than they must be."""
    objects(values=values)
