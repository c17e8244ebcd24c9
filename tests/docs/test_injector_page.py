"""The reference of the injector."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.admissions import inject, patched, read_review
from tests.docs.injector_page import injector_page
from tests.docs.pages import ROOT, examples
from tiergate.cluster.injector.pod_template import read_sidecar
from tiergate.cluster.injector.settings import SETTINGS, resolve
from tiergate.cluster.injector.webhook import InjectorMetrics

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Golden
    from tiergate.process.settings import Setting

PAGE = ROOT / "docs" / "reference" / "injector.md"


def test_the_page_is_what_the_tables_say(golden: Golden) -> None:
    """Every annotation and setting stands in the reference as it is, and nothing else does."""
    golden(PAGE, injector_page())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_explained(setting: Setting) -> None:
    """No setting is without its sentence, and its default is one that could be written."""
    assert setting.help.endswith(".")
    if setting.shown_default:
        assert setting.kind.read(setting.shown_default) == setting.default


def test_the_example_is_a_settings_file(tmp_path: Path) -> None:
    """What the page shows can be used."""
    (example,) = (it for it in examples(PAGE) if it.language == "toml")
    (tmp_path / "injector.toml").write_text(example.text, encoding="utf-8")
    settings = resolve({"settings": str(tmp_path / "injector.toml")}, {})
    assert settings.sidecar_file == tmp_path / "sidecar.yaml"
    assert settings.public_key == (tmp_path / "public-key.pem",)


def test_the_example_of_a_pod_is_injected() -> None:
    """With what it asks for."""
    pod, sidecar = (it.text for it in examples(PAGE) if it.language == "yaml")
    assert read_sidecar(sidecar.encode()).settings == {"max-staleness": "600"}
    review = read_review("least")
    review["request"]["object"] = yaml.safe_load(pod)
    made = patched(review, inject(review))["spec"]["initContainers"][0]
    assert made["resources"]["limits"]["memory"] == "1Gi"


def test_every_metric_is_in_the_reference() -> None:
    """All that are told, and none that is not."""
    told = {
        sample.name
        for family in text_string_to_metric_families(generate_latest(InjectorMetrics().registry).decode())
        for sample in family.samples
        if sample.name.startswith("tiergate_")
    }
    told = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in told} - {"tiergate_injector_reviews"}
    assert told == set(re.findall(r"^\| `(tiergate_\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))
