from __future__ import annotations

from pathlib import Path

import pytest

from tiergate.cluster.injector.annotations import DEFAULT_ANNOTATIONS
from tiergate.cluster.injector.settings import resolve
from tiergate.errors import SettingsError

OWN = {"service": "injector", "webhook": "injector", "certificate-secret": "tls"}
LEAST = {"sidecar-file": "sidecar.yaml", **OWN}


def test_the_least_is_enough() -> None:
    """Everything else has a default."""
    settings = resolve(LEAST, {})
    assert (settings.host, settings.port, settings.probe_port) == ("0.0.0.0", 8443, 8444)
    assert settings.allow_annotation == DEFAULT_ANNOTATIONS


def test_settings_come_from_the_environment() -> None:
    """And a Service that is called `tiergate-injector` disturbs nothing."""
    environ = {f"TIERGATE_INJECTOR_{name.replace('-', '_').upper()}": value for name, value in LEAST.items()}
    environ |= {"TIERGATE_INJECTOR_PORT": "tcp://10.0.0.1:443", "TIERGATE_INJECTOR_ALLOW_ANNOTATION": "order,port"}
    settings = resolve({}, environ)
    assert settings.sidecar_file == Path("sidecar.yaml")
    assert settings.port == 8443
    assert settings.allow_annotation == ("order", "port")


def test_all_annotations_can_be_forbidden(tmp_path: Path) -> None:
    """By an empty list in the file."""
    (tmp_path / "injector.toml").write_text("allow-annotation = []")
    assert resolve(LEAST | {"settings": str(tmp_path / "injector.toml")}, {}).allow_annotation == ()


@pytest.mark.parametrize(
    ("flags", "setting"),
    [
        ({}, "sidecar-file"),
        ({"sidecar-file": "x"}, "service"),
        ({"sidecar-file": "x", "service": "x"}, "webhook"),
        ({"sidecar-file": "x", "service": "x", "webhook": "x"}, "certificate-secret"),
        ({"sidecar-file": "x", "tls-cert": "x"}, "tls-key"),
        ({"sidecar-file": "x", "tls-key": "x"}, "tls-cert"),
        (LEAST | {"tls-cert": "x", "tls-key": "x"}, "service"),
        (LEAST | {"probe-port": "8443"}, "probe-port"),
        (LEAST | {"allow-annotation": ["image"]}, "allow-annotation"),
    ],
)
def test_what_does_not_fit_together_is_refused(flags: dict[str, object], setting: str) -> None:
    """With the setting that must be said, or must not."""
    with pytest.raises(SettingsError) as refused:
        resolve(flags, {})
    assert refused.value.setting == setting
