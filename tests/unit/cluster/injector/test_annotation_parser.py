from __future__ import annotations

import pytest

from tests.admissions import injection
from tests.docs.pages import ROOT
from tiergate.cluster.injector.annotation_parser import ParsedAnnotations, parse_annotations
from tiergate.cluster.injector.annotations import ANNOTATIONS, DEFAULT_ANNOTATIONS
from tiergate.cluster.injector.pod_template import sidecar_container
from tiergate.cluster.injector.settings import SETTINGS as INJECTOR_SETTINGS
from tiergate.sidecar.settings import SETTINGS

ALL = tuple(one.name for one in ANNOTATIONS)
KNOWN = {one.name: one for one in SETTINGS}


def read(annotations: dict[str, str], allowed: tuple[str, ...] = ALL) -> ParsedAnnotations:
    """What comes of annotations, which are given without the domain."""
    named = {f"tiergate.dev/{name}": value for name, value in annotations.items()}
    return parse_annotations(named, injection().sidecar, allowed, KNOWN)


def variables(wishes: ParsedAnnotations) -> dict[str, str]:
    """The variables of the sidecar's container."""
    env = sidecar_container(wishes.sidecar)["env"]
    assert isinstance(env, list)
    return {one["name"]: one["value"] for one in env}


def test_without_annotations_the_operator_s_words_hold() -> None:
    """Those of others say nothing to us."""
    wishes = parse_annotations({"example.com/port": "x"}, injection().sidecar, ALL, KNOWN)
    assert wishes == (injection().sidecar, None, "", (), ())


GOOD = {
    "port": ("18437", "TIERGATE_PORT"),
    "probe-port": ("18438", "TIERGATE_PROBE_PORT"),
    "socket-path": ("/run/plans/s.sock", "TIERGATE_UDS"),
    "cache-size": ("64MiB", "TIERGATE_CACHE_SIZE"),
    "log-format": ("json", "TIERGATE_LOG_FORMAT"),
    "log-level": ("debug", "TIERGATE_LOG_LEVEL"),
    "on-demand": ("true", "TIERGATE_ON_DEMAND"),
    "on-demand-keep": ("5000", "TIERGATE_ON_DEMAND_KEEP"),
    "on-demand-timeout": ("0.2", "TIERGATE_ON_DEMAND_TIMEOUT"),
    "shutdown-timeout": ("20", "TIERGATE_SHUTDOWN_TIMEOUT"),
    "decision-log": ("-", "TIERGATE_DECISION_LOG"),
    "decision-log-feature": ("movies,seats", "TIERGATE_DECISION_LOG_FEATURE"),
    "decision-log-outcome": ("denied", "TIERGATE_DECISION_LOG_OUTCOME"),
    "decision-log-reason": ("limit_reached,cap_reached", "TIERGATE_DECISION_LOG_REASON"),
    "decision-log-sample": ("0.5", "TIERGATE_DECISION_LOG_SAMPLE"),
    "decision-log-subject": ("hash", "TIERGATE_DECISION_LOG_SUBJECT"),
    "decision-log-user": ("drop", "TIERGATE_DECISION_LOG_USER"),
    "max-staleness": ("900", "TIERGATE_MAX_STALENESS"),
    "stale-deny": ("*", "TIERGATE_STALE_DENY"),
    "startup-allow": ("movies", "TIERGATE_STARTUP_ALLOW"),
    "startup-deadline": ("5", "TIERGATE_STARTUP_DEADLINE"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_setting_of_the_sidecar_is_set(name: str) -> None:
    """What the annotation says is what the sidecar is told."""
    value, variable = GOOD[name]
    wishes = read({name: value})
    assert wishes.problems == ()
    assert variables(wishes)[variable] == value


@pytest.mark.parametrize(
    ("name", "where", "resource"),
    [
        ("cpu-request", "requests", "cpu"),
        ("cpu-limit", "limits", "cpu"),
        ("memory-request", "requests", "memory"),
        ("memory-limit", "limits", "memory"),
    ],
)
def test_resources_are_set(name: str, where: str, resource: str) -> None:
    """One of them; the others stay as the operator said."""
    value = "0.5" if resource == "cpu" else "256Mi"
    before, after = injection().sidecar.resources, read({name: value}).sidecar.resources
    assert getattr(after, where) == getattr(before, where) | {resource: value}
    other = "limits" if where == "requests" else "requests"
    assert getattr(after, other) == getattr(before, other)


def test_the_size_of_the_data_is_set() -> None:
    """The rest of the volume is the operator's."""
    given = injection(data={"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}})
    wishes = parse_annotations({"tiergate.dev/data-size": "4Gi"}, given.sidecar, ALL, KNOWN)
    assert wishes.sidecar.data == {"emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}}


def test_a_claim_has_the_size_that_the_operator_said() -> None:
    """Storage costs, and is the operator's."""
    given = injection(data={"ephemeral": {"volumeClaimTemplate": {}}})
    (problem,) = parse_annotations({"tiergate.dev/data-size": "4Gi"}, given.sidecar, ALL, KNOWN).problems
    assert "the operator chose another volume" in problem


def test_the_data_is_kept_in_a_volume_of_the_pod() -> None:
    """Which has a size already."""
    assert read({"data-volume": "usage"}).sidecar.data_volume == "usage"
    (problem,) = read({"data-volume": "usage", "data-size": "4Gi"}).problems
    assert "do not fit together" in problem


def test_the_startup_probe_waits_beyond_the_deadline() -> None:
    """Or the sidecar would be killed before it says that it denies."""
    probe = sidecar_container(read({"startup-deadline": "240"}).sidecar)["startupProbe"]
    assert isinstance(probe, dict)
    assert probe["periodSeconds"] * probe["failureThreshold"] > 240


BAD = {
    "containers": ["", "shop,,log", "Shop", "a" * 64, "shop;log"],
    "order": ["", "middle"],
    "port": ["", "80", "65536", "8437/tcp", "١٢٣٤"],
    "probe-port": ["0", "x"],
    "socket-path": [
        "",
        "run/s.sock",
        "/run/",
        "/../s.sock",
        "/run//s.sock",
        "/s.sock",
        "/run/a b",
        "/run/" + "x" * 99 + "/s",
        "/opt/tiergate/s.sock",
        "/run/secrets/x/s.sock",
        "/run/secrets/s.sock",
        "/run/s.sock",
        "/run/./s",
        "/run/a/../b/s",
    ],
    "cpu-request": ["", "0", "0m", "x", "1G", "-1", "1e3", "0.0001"],
    "memory-limit": ["0", "512 Mi", "512MB", "0.5Gi", "1m"],
    "data-size": ["0", "1x"],
    "data-volume": ["", "Usage", "a/b", "a" * 64],
    "cache-size": ["0", "much"],
    "log-level": ["loud", ""],
    "on-demand": ["yes"],
    "on-demand-keep": ["0", "1.5"],
    "on-demand-timeout": ["0", "-1"],
    "decision-log-reason": ["denied", "granted,x"],
    "decision-log-sample": ["2"],
    "stale-deny": ["a\nb"],
    "startup-deadline": ["soon"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_value_that_no_sidecar_could_use_is_refused(name: str, value: str) -> None:
    """Before the pod is made, not when the sidecar fails to start in it."""
    problems = read({name: value}).problems
    assert problems
    assert all(name in problem or "socketPath" in problem for problem in problems)


@pytest.mark.parametrize(
    "said",
    [
        {"memory-request": "1Gi"},
        {"memory-limit": "64Mi"},
        {"cpu-request": "1500m"},
        {"cpu-limit": "0.01"},
        {"memory-request": "600M", "memory-limit": "500Mi"},
    ],
)
def test_no_more_can_be_reserved_than_may_be_used(said: dict[str, str]) -> None:
    """Together with what the operator says of the other one."""
    (problem,) = read(said).problems
    assert "do not fit together" in problem


def test_both_ports_cannot_be_one() -> None:
    """Whatever each of them is."""
    (problem,) = read({"port": "8438"}).problems
    assert "`port` and `probePort` must differ" in problem


FORBIDDEN = (
    "image",
    "image-pull-policy",
    "control-plane",
    "control-plane-ca-pem",
    "key-file",
    "public-key",
    "public-key-pem",
    "store-id",
    "object-store",
    "insecure",
    "host",
    "probe-host",
    "uds-mode",
    "uds-group",
    "data",
    "catalog",
    "subjects",
    "rules",
    "token-file",
    "token-audience",
    "allowed-host",
    "allowed-origin",
    "settings",
    "decision-log-key-file",
)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_decides_whom_a_sidecar_believes_is_on_no_list(name: str) -> None:
    """Nor where it listens, nor what it runs: not even an operator can allow it."""
    (problem,) = read({name: "x"}, (*ALL, name)).problems
    assert problem.startswith(f"annotation `tiergate.dev/{name}` does not exist")
    assert name not in next(one for one in INJECTOR_SETTINGS if one.name == "allow-annotation").default


@pytest.mark.parametrize("name", sorted({*ALL} - {*DEFAULT_ANNOTATIONS}))
def test_what_concerns_decisions_is_allowed_by_the_operator_alone(name: str) -> None:
    """A pod cannot make its sidecar accept older data by itself."""
    (problem,) = read({name: GOOD[name][0]}, DEFAULT_ANNOTATIONS).problems
    assert problem.endswith("is not allowed in this cluster: the operator of Tiergate decides that")


def test_every_annotation_is_one_that_a_sidecar_understands() -> None:
    """Those that are settings are so by name; the rest are tested here by name."""
    assert {one.name for one in ANNOTATIONS if one.setting} <= KNOWN.keys()
    assert {*ALL} <= {*GOOD, *BAD, "cpu-limit", "memory-request"}


def test_every_annotation_is_in_the_reference() -> None:
    """With its name in full."""
    page = (ROOT / "docs" / "reference" / "injector.md").read_text("utf-8")
    assert [name for name in ALL if f"| `tiergate.dev/{name}` |" not in page] == []
